"""A report on a terminal: the verdict and its sentence first, then the figures, then what was found field by field."""

import shutil
from collections.abc import Mapping
from typing import Any

import click

from headrace_controller.cli.output import print_facts, print_table

TABLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "drift": ("fields", ("name", "severity", "score", "importance", "found")),
    "performance": ("metrics", ("name", "severity", "reference", "estimated", "low", "high", "realised")),
    "quality": ("rules", ("name", "verdict", "severity", "rows", "broken", "found")),
    "fairness": ("groups", ("name", "severity", "rows", "selection", "impact", "opportunity")),
    "outliers": ("worst", ("request_id", "row", "value", "score")),
    "explain": ("contributions", ("name", "value", "typical", "shap")),
    "attribution": ("fields", ("name", "importance", "share", "trained", "mean", "top")),
    "profile": ("fields", ("name", "side", "kind", "rows", "missing", "mean", "training_mean")),
}
"""By kind of report the member whose items are shown, and columns of these; ``found`` is their sentence."""
MAX_LINES = 30
MAX_NOTES = 5
_FIRST = ("model", "kind", "schema", "verdict", "severity", "sentence", "engine")
"""Members that are said above, or that say nothing to people."""
_LEAST_WIDTH = 60


def show_document(document: Mapping[str, Any]) -> None:
    """The whole report in words; the rest of it is in ``--json`` and on its page."""
    click.secho(_headline(document), bold=True)
    verdict, severity = document.get("verdict"), document.get("severity")
    if verdict:
        click.echo(str(verdict) + (f", {severity}" if severity not in (None, "none", "") else ""))
    show_sentence(document)
    facts = {k: v for k, v in document.items() if k not in _FIRST and v is not None and not isinstance(v, list | dict)}
    if facts:
        click.echo()
        print_facts(facts)
    _show_table(document)
    notes = [n for n in document.get("notes") or () if isinstance(n, Mapping)]
    for note in notes[:MAX_NOTES]:
        click.echo(f"note: {note.get('name')}: {_plain(str(note.get('reason')))}")
    if len(notes) > MAX_NOTES:
        click.echo(f"and {len(notes) - MAX_NOTES} more notes: --json")


def show_sentence(document: Mapping[str, Any]) -> None:
    """What a report found, in as many lines as the terminal needs."""
    if document.get("sentence"):
        width = max(shutil.get_terminal_size().columns, _LEAST_WIDTH)
        click.echo(click.wrap_text(_plain(document["sentence"]), width, preserve_paragraphs=True))


def _headline(document: Mapping[str, Any]) -> str:
    text = f"{document.get('model')} {document.get('kind')}"
    window = document.get("window")
    if isinstance(window, Mapping) and window.get("until"):
        text += f", {window.get('length')} until {_seconds(window['until'])}"
        text += f", where {window['where']}" if window.get("where") else ""
        text += f", by {window['time']}" if window.get("time") not in (None, "received") else ""
    engine = document.get("engine")
    return text + (f" ({engine})" if engine not in (None, "native") else "")


def _seconds(moment: str) -> str:
    """RFC 3339 in UTC without what is less than a second."""
    return moment[:19] + "Z" if len(moment) > 19 else moment


def _show_table(document: Mapping[str, Any]) -> None:
    member, columns = TABLES.get(str(document.get("kind")), ("fields", ("name", "severity", "found")))
    items = [_item(one) for one in document.get(member) or () if isinstance(one, Mapping)]
    known = [c for c in columns if any(item.get(c) is not None for item in items)]
    if not known:
        return
    click.echo()
    print_table(items[:MAX_LINES], known, empty="")
    if len(items) > MAX_LINES:
        click.echo(f"and {len(items) - MAX_LINES} more {member}: --json, or headrace report open")


def _item(one: Mapping[str, Any]) -> dict[str, Any]:
    """An item with what is nested in it as figures: intervals by their value, both sides of a profile by their means."""
    item = {k: v["value"] if isinstance(v, Mapping) and "value" in v else v for k, v in one.items()}
    sides = (one.get("window"), one.get("training"))
    for prefix, side in zip(("", "training_"), sides, strict=True):
        if isinstance(side, Mapping):
            item |= {f"{prefix}{k}": side.get(k) for k in ("rows", "missing", "mean")}
    sentence = _plain(str(one.get("sentence") or ""))
    return {**item, "found": sentence.removeprefix(f"{one.get('name')}: ") or None}


def _plain(sentence: str) -> str:
    return sentence.replace("`", "")
