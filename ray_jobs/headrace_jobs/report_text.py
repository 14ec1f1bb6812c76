"""Sentences of reports: numbers as people read them, and what changed in a field in one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headrace_jobs.report.models import Bar, Chunk, FieldDrift, Rows, Side, Test


@dataclass(frozen=True, slots=True)
class Words:
    """How sentences speak of the reference."""

    kind: Literal["training", "previous", "fixed"]
    whole: str
    """``the training data``"""
    short: str
    """``training``"""
    of: str
    """``training`` in *the training maximum*"""


TRAINING = Words("training", "the training data", "training", "training")
PREVIOUS = Words("previous", "the window before", "the window before", "former")
FIXED = Words("fixed", "the reference window", "the reference window", "reference")
WORDS = {words.kind: words for words in (TRAINING, PREVIOUS, FIXED)}

NAMED = 3  # fields or categories that a sentence names; the rest are counted

ROUNDING = 1e-9
"""Share of a spread below which a mean is 0 but for rounding."""


def number(value: float | None) -> str:
    """Four significant digits, as people write them: ``0.01234``, ``41``, ``1,230,000``."""
    if value is None:
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1e15:
        digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return digits.replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def share(value: float) -> str:
    """A share as a percentage: ``12 %``, ``0.4 %``, ``< 0.1 %``."""
    percent = value * 100
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 10 and round(percent, 1) != round(percent) else f"{percent:.0f} %"


def rows(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")


def field_sentence(name: str, field: FieldDrift, words: Words = TRAINING) -> str:
    """What changed in a field, e.g. "`age`: mean 41 → 55, share above the training maximum 0 % → 12 %"."""
    if field.apart is not None and field.verdict != "drift":
        return f"`{name}`: set apart, {field.apart}"
    if field.verdict == "not-enough-data" or field.reference is None or field.window is None:
        return f"`{name}`: too few values to compare"
    counted = {t.test for t in field.tests if t.severity != "none"}
    parts = [
        _missing(field.reference, field.window) if "missing" in counted else "",
        _outside(field.bars, field.kind, words) if counted & {"range", "new-category"} else "",
        _moved(field) if "distribution" in counted else "",
    ]
    said = ", ".join(p for p in (parts[2], parts[1], parts[0]) if p)
    return f"`{name}`: {said}" if said else f"`{name}`: no change that matters"


def content_sentence(name: str, least: float, verdict: str) -> str:
    """What is said of the content of a text or vector."""
    if verdict == "not-enough-data":
        return f"`{name}`: too few values to compare"
    if verdict == "no-drift":
        return f"`{name}`: no change that matters"
    return f"`{name}`: what is in it is told from what was there, in at least {share(least)} of rows"


def nothing_to_compare(fields: Sequence[FieldDrift]) -> str:
    """Why there is no verdict though there are enough rows."""
    names = ", ".join(f"`{f.name}`" for f in fields[:NAMED])
    return f"No verdict: no field can be compared ({names}{' and others' if len(fields) > NAMED else ''})."


def repeats_sentence(counted: Rows) -> str:
    """What repeated or grouped rows count for, as one more sentence; empty where each counts for one."""
    sides = [
        f"the {rows(all_)} of the {name} count as {independent:,}"
        for name, all_, independent in (
            ("reference", counted.reference, counted.effective_reference),
            ("window", counted.window, counted.effective_window),
        )
        if independent is not None
    ]
    return f" Some rows are repeated or belong together: {' and '.join(sides)}." if sides else ""


def refused_sentence(counted: Rows) -> str:
    """That rows were refused or failed, where they are more than one in a hundred: nobody has compared them."""
    if counted.failed * 100 < counted.window or not counted.failed:
        return ""
    what = "more row was" if counted.failed == 1 else "more rows were"
    return f" {counted.failed:,} {what} refused or failed, and not compared."


def usual_sentence(windows: int) -> str:
    """That a field lies where it lay before."""
    return f"; no further than in the {windows} windows before"


def nothing_new_sentence(known: int, drifted: int, windows: int) -> str:
    """How many of the drifted fields lie where they lay in the windows before; empty where none does."""
    if not known:
        return ""
    which = "All of it" if known == drifted else f"{known} of these fields"
    verb = "is" if known == drifted else "are"
    return f" {which} {verb} no further from the reference than in the {windows} windows before: not new."


def drift_sentence(fields: Sequence[FieldDrift], whole: Sequence[Test] = (), words: Words = TRAINING) -> str:
    """What a whole run found."""
    drifted = [f for f in fields if f.verdict == "drift"]
    if not drifted:
        if any(t.test == "concept" and t.severity != "none" for t in whole):
            return "No field has moved by itself, but " + _concept(whole)
        together = [t for t in whole if t.severity != "none"]
        if together:
            least = share(max(t.effect_low for t in together))
            pair = next((t.about for t in together if t.about), ())
            names = f" Most of all `{pair[0]}` with `{pair[1]}`." if len(pair) == 2 else ""
            return (
                f"No field has moved by itself, but their combinations have: at least {least} of rows lie "
                f"where {words.short} has fewer.{names}"
            )
        tested = sum(f.verdict == "no-drift" for f in fields)
        return f"No field of {tested} has moved away from {words.whole}."
    named = ", ".join(f"`{f.name}`" for f in drifted[:NAMED])
    more = f" and {len(drifted) - NAMED} more" if len(drifted) > NAMED else ""
    verb = "differs" if len(drifted) == 1 else "differ"
    moved = f"{len(drifted)} of {len(fields)} fields {verb} from {words.whole}: {named}{more}."
    changed = _concept(whole)
    return f"{moved} And {changed}" if changed else moved


def _concept(whole: Sequence[Test]) -> str:
    found = [t for t in whole if t.test == "concept" and t.severity != "none"]
    if not found:
        return ""
    least = share(found[0].effect_low)
    return f"the same answers now go with other labels: at least {least} of labelled rows (concept drift)."


def chunks_sentence(chunks: Sequence[Chunk]) -> str:
    """How many pieces of the window drifted by themselves, as one more sentence; empty without chunks."""
    if not chunks:
        return ""
    drifted = [c for c in chunks if c.verdict == "drift"]
    first = f", the first from {drifted[0].since[:16].replace('T', ' ')} UTC on" if drifted else ""
    return f" By themselves, {len(drifted)} of {len(chunks)} chunks drifted{first}."


def _missing(before: Side, now: Side) -> str:
    return f"missing {share(before.missing / max(before.rows, 1))} → {share(now.missing / max(now.rows, 1))}"


def _outside(bars: Sequence[Bar], kind: str, words: Words) -> str:
    outside = [b for b in bars if b.outside and b.window > 0]
    if kind == "category":
        names = ", ".join(b.label for b in outside[:NAMED])
        more = f" and {len(outside) - NAMED} more" if len(outside) > NAMED else ""
        return f"categories that {words.short} has not: {names}{more} ({share(sum(b.window for b in outside))} of rows)"
    sides = {"<": f"below the {words.of} minimum", ">": f"above the {words.of} maximum"}
    return ", ".join(f"share {sides[b.label[0]]} {share(b.window)}" for b in outside)


def _moved(field: FieldDrift) -> str:
    before, now = field.reference, field.window
    if field.kind == "category":
        changed = sorted((b for b in field.bars if not b.outside), key=lambda b: -abs(b.window - b.reference))[:NAMED]
        return ", ".join(
            f"{b.label} {share(b.reference)} → {share(b.window)}" for b in changed if b.window != b.reference
        )
    if before is None or now is None or before.mean is None or now.mean is None:
        return "values lie elsewhere"
    spread = (before.std or 0.0) > 0 and abs((now.std or 0.0) / (before.std or 1.0) - 1) > 0.2
    tail = f", spread (sd) {number(before.std)} → {number(now.std)}" if spread else ""
    return f"mean {number(_mean(before))} → {number(_mean(now))}{tail}"


def _mean(side: Side) -> float | None:
    """The mean; 0 where rounding is all that keeps it from 0, as in columns that were standardized."""
    rounded = side.mean is not None and abs(side.mean) < ROUNDING * (side.std or 0.0)
    return 0.0 if rounded else side.mean
