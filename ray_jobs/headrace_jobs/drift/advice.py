"""What to look at next, from the kinds of findings: a sentence for each, the gravest first."""

from collections.abc import Sequence
from math import log10

from headrace_jobs.report.models import FieldDrift
from headrace_jobs.report_text import TRAINING, Words

NAMED = 4
NEEDED = 0.1
"""Share of what the answers depend on, from which on inputs count as needed together."""
SAME = 0.08  # decades that a ratio may be off a power of ten


def advice(fields: Sequence[FieldDrift], words: Words = TRAINING) -> tuple[str, ...]:
    """Advice on drifted ``fields`` (the most drifted first); none where nothing drifted."""
    drifted = [f for f in fields if f.verdict == "drift"]
    scaled = [f for f in drifted if factor(f) is not None]
    outputs = [f for f in drifted if f.side == "output"]
    inputs = [f for f in drifted if f.side == "input"]
    said = [
        *(
            f"`{f.name}` is about {factor(f)} times what it was in {words.short}: look for a changed unit."
            for f in scaled[:NAMED]
        ),
        _about(_with(drifted, "missing"), "{} lost or gained values: ask the system that fills {them}."),
        _about(
            _with(drifted, "new-category"),
            "{} met categories the model never saw: it cannot have learnt what they mean."
            if words is TRAINING
            else f"{{}} met categories that {words.short} has not.",
        ),
        _about(
            _with(inputs, "range"),
            f"{{}} left the range of {words.short}" + (": the model extrapolates there." if words is TRAINING else "."),
        ),
        "The outputs moved with the inputs: compare them with labels as soon as there are some."
        if outputs and inputs
        else "",
        "The outputs moved though no input did: look at the inputs that were not compared."
        if outputs and not inputs
        else "",
        "The inputs moved but the outputs did not: the model may not depend on them."
        if inputs and _tested(fields) and not outputs and not _needed(inputs)
        else "",
        "Retrain on the window's rows if the change is here to stay."
        if drifted and not scaled and words is TRAINING
        else "",
    ]
    return tuple(sentence for sentence in said if sentence)


def factor(field: FieldDrift) -> str | None:
    """The power of ten by which the values seem to be multiplied, or None."""
    before, now = field.reference, field.window
    if before is None or now is None or not before.mean or not now.mean or not before.std or not now.std:
        return None
    if now.mean / before.mean <= 0:
        return None
    decades = log10(now.mean / before.mean)
    same = abs(log10(now.std / before.std) - decades) < 3 * SAME  # a unit scales the spread as well
    power = round(decades)
    return f"{10.0**power:,g}" if power and same and abs(decades - power) < SAME else None


def _with(fields: Sequence[FieldDrift], test: str) -> list[FieldDrift]:
    return [f for f in fields if any(t.test == test and t.severity != "none" for t in f.tests)]


def _tested(fields: Sequence[FieldDrift]) -> bool:
    return any(f.side == "output" and f.verdict == "no-drift" for f in fields)


def _needed(inputs: Sequence[FieldDrift]) -> bool:
    """Whether the answers are known to depend on them: then they stand still for another reason."""
    return sum(f.importance or 0.0 for f in inputs) >= NEEDED


def _about(fields: Sequence[FieldDrift], sentence: str) -> str:
    if not fields:
        return ""
    names = ", ".join(f"`{f.name}`" for f in fields[:NAMED]) + (
        f" and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
    )
    return sentence.format(names, them="it" if len(fields) == 1 else "them")
