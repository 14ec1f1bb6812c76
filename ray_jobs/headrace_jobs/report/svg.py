"""Pictures as inline SVG: both sides of a field, its history, and the waterfall of an explanation.

Colours come from the page's style sheet by class, so they follow its light and dark scheme. Every mark has a title.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from headrace_functions.classes import text_of
from headrace_jobs.report.models import (
    Bar,
    Contribution,
    Explanation,
    FieldDrift,
    FieldProfile,
    MetricPerformance,
    Step,
)
from headrace_jobs.report_text import number, share

WIDTH, HEIGHT = 560, 170
ROW = 24  # height of a row of a horizontal bar picture
LABEL = 190  # width of the labels beside it
CHARACTERS = 26  # of a label in that width
SHOWN = 14  # contributions of a waterfall; the rest are one bar


def distribution(field: FieldDrift | FieldProfile) -> Markup:
    """Reference and window of a field: columns for numbers, paired rows for categories; empty where there is nothing."""
    if not field.bars:
        return Markup()
    return _columns(field.bars) if field.kind == "number" else _pairs(field.bars)


def history(steps: Sequence[Step], threshold: float, since: str | None) -> Markup:
    """Share of rows that moved, in each step of the window; a step with too few rows is a dot on the base line."""
    known = [s.moved for s in steps if s.moved is not None]
    if not known:
        return Markup()
    height, base = 90, 70
    top = max(*known, threshold * 2, 0.05)
    width = WIDTH / len(steps)
    parts = []
    for i, step in enumerate(steps):
        x = i * width
        if step.moved is None:
            parts.append(mark('<circle class="none" cx="{}" cy="{}" r="1.5"/>', x + width / 2, base))
            continue
        tall = max(step.moved / top * (base - 8), 1)
        kind = "late" if since is not None and step.start >= since else "step"
        box = (kind, x + 1, base - tall, width - 2, tall, step.start, share(step.moved), f"{step.rows:,}")
        text = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {} moved, {} rows</title></rect>'
        parts.append(mark(text, *box))
    line = base - threshold / top * (base - 8)
    parts.append(mark('<line class="limit" x1="0" x2="{}" y1="{}" y2="{}"/>', WIDTH, line, line))
    parts.append(words(0, height - 4, _clock(steps[0].start)))
    parts.append(words(WIDTH, height - 4, _clock(steps[-1].start), "end"))
    parts.append(words(WIDTH, 8, f"up to {share(max(known))} moved", "end"))
    return drawing(height, parts, "share of rows that moved, over the window's time")


def waterfall(explanation: Explanation) -> Markup:
    """From the base to the prediction, one step a feature, the largest first."""
    steps = _steps(explanation.contributions)
    ends = [explanation.base]
    for step in steps:
        ends.append(ends[-1] + step.shap)
    low, high = min(ends), max(ends)
    scale = (WIDTH - LABEL - 70) / ((high - low) or 1.0)
    parts = []
    for i, step in enumerate(steps):
        start, end = ends[i], ends[i + 1]
        x, y = LABEL + (min(start, end) - low) * scale, 22 + i * ROW
        kind = "more" if step.shap >= 0 else "less"
        wide = max(abs(step.shap) * scale, 1)
        parts.append(words(LABEL - 8, y + 14, step.name, "end", "label"))
        box = (kind, x, y + 2, wide, ROW - 6, step.name, _signed(step.shap))
        parts.append(
            mark('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}: {}</title></rect>', *box)
        )
        parts.append(words(LABEL + (max(start, end) - low) * scale + 5, y + 14, _signed(step.shap)))
        at = LABEL + (end - low) * scale
        parts.append(mark('<line class="link" x1="{}" x2="{}" y1="{}" y2="{}"/>', at, at, y + 2, y + ROW + 4))
    height = 22 + len(steps) * ROW + 22
    parts.append(words(LABEL + (explanation.base - low) * scale, 12, f"average {number(explanation.base)}", "middle"))
    end_x = LABEL + (ends[-1] - low) * scale
    parts.append(words(end_x, height - 4, f"this answer {number(explanation.prediction)}", "middle", "strong"))
    return drawing(height, parts, "waterfall of the contributions")


def gauge(metric: MetricPerformance) -> Markup:
    """A metric on a line: the band, the reference, the estimate with its interval, and the realised value as a diamond."""
    given = (metric.band_low, metric.band_high, metric.reference, metric.low, metric.high, metric.realised)
    known = [v for v in given if v is not None]
    if not known:
        return Markup()
    low, high = min(known), max(known)
    pad = (high - low) * 0.06 or abs(low) * 0.1 or 1.0
    scale = WIDTH / (high - low + 2 * pad)

    def x(value: float) -> float:
        return (value - low + pad) * scale

    parts = [mark('<line class="axis" x1="0" x2="{}" y1="13" y2="13"/>', WIDTH)]
    if metric.band_low is not None and metric.band_high is not None:
        box = (x(metric.band_low), max(x(metric.band_high) - x(metric.band_low), 1.0))
        title = f"without change: {number(metric.band_low)} to {number(metric.band_high)}"
        text = '<rect class="reference" x="{}" y="5" width="{}" height="16" rx="2"><title>{}</title></rect>'
        parts.append(mark(text, *box, title))
    if metric.estimated is not None and metric.low is not None and metric.high is not None:
        title = f"estimated {number(metric.estimated)}, {number(metric.low)} to {number(metric.high)}"
        text = '<rect class="window" x="{}" y="11" width="{}" height="4"><title>{}</title></rect>'
        parts.append(mark(text, x(metric.low), max(x(metric.high) - x(metric.low), 1.0), title))
        text = '<circle class="window" cx="{}" cy="13" r="5"><title>{}</title></circle>'
        parts.append(mark(text, x(metric.estimated), title))
    if metric.realised is not None:
        at = x(metric.realised)
        text = '<path class="less" d="M{} 4 l7 9 l-7 9 l-7 -9 z"><title>realised {}</title></path>'
        parts.append(mark(text, at, number(metric.realised)))
    return drawing(26, parts, f"{metric.name} of the window in the band of the reference")


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    shap: float


def _steps(contributions: Sequence[Contribution]) -> list[_Step]:
    shown = [_Step(_named(c), c.shap) for c in contributions[:SHOWN]]
    rest = contributions[SHOWN:]
    return [*shown, _Step(f"{len(rest)} others", sum(c.shap for c in rest))] if rest else shown


def _named(contribution: Contribution) -> str:
    value = contribution.value
    if value is None:
        return f"{cut(contribution.name, CHARACTERS - 8)} missing"
    plain = cut(
        number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else text_of(value), 12
    )
    return f"{cut(contribution.name, CHARACTERS - 3 - len(plain))} = {plain}"


def _columns(bars: Sequence[Bar]) -> Markup:
    top = max(max(b.reference, b.window) for b in bars) or 1.0
    width = WIDTH / len(bars)
    base = HEIGHT - 22
    parts = []
    for i, bar in enumerate(bars):
        x = i * width
        before, now = bar.reference / top * (base - 8), bar.window / top * (base - 8)
        title = f"{bar.label}: reference {share(bar.reference)}, window {share(bar.window)}"
        before_box = (x + 1, base - before, width - 2, before)
        now_box = ("outside" if bar.outside else "window", x + width * 0.22, base - now, width * 0.56, now)
        parts.append(mark('<rect class="reference" x="{}" y="{}" width="{}" height="{}"/>', *before_box))
        parts.append(mark('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', *now_box))
        hover = '<rect class="hover" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>'
        parts.append(mark(hover, x, width, base, title))
    parts.append(mark('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>', WIDTH, base, base))
    parts.append(words(0, HEIGHT - 6, bars[0].label.split(" … ")[0]))
    middle = bars[len(bars) // 2].label.split(" … ")[0]
    if len(bars) > 2:
        parts.append(words(WIDTH * (len(bars) // 2) / len(bars), HEIGHT - 6, middle, "middle"))
        parts.append(words(WIDTH, HEIGHT - 6, bars[-1].label.split(" … ")[-1], "end"))
    return drawing(HEIGHT, parts, "distribution in the reference and in the window")


def _pairs(bars: Sequence[Bar]) -> Markup:
    top = max(max(b.reference, b.window) for b in bars) or 1.0
    scale = (WIDTH - LABEL - 110) / top
    parts = []
    for i, bar in enumerate(bars):
        y = i * ROW
        parts.append(words(LABEL - 8, y + 15, cut(bar.label, CHARACTERS), "end", "label"))
        before = (LABEL, y + 3, max(bar.reference * scale, 0.5))
        parts.append(mark('<rect class="reference" x="{}" y="{}" width="{}" height="8"/>', *before))
        now = ("outside" if bar.outside else "window", LABEL, y + 12, max(bar.window * scale, 0.5))
        parts.append(mark('<rect class="{}" x="{}" y="{}" width="{}" height="8"/>', *now))
        x = LABEL + max(bar.reference, bar.window) * scale + 6
        parts.append(words(x, y + 15, f"{share(bar.reference)} → {share(bar.window)}"))
    return drawing(len(bars) * ROW + 2, parts, "shares of categories in the reference and in the window")


def drawing(height: float, parts: Sequence[Markup], label: str) -> Markup:
    head = '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="xMidYMid meet">'
    return mark(head, WIDTH, height, label) + Markup("").join(parts) + Markup("</svg>")


def words(x: float, y: float, text: str, anchor: str = "start", kind: str = "note") -> Markup:
    return mark('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>', kind, x, y, anchor, text)


def mark(template: str, *values: object) -> Markup:
    """Fill a template of ours; values are escaped, and coordinates have one decimal, for the size of the page."""
    short = (f"{v:.1f}".removesuffix(".0") if isinstance(v, float) else v for v in values)
    return Markup(template).format(*short)  # noqa: S704 - the template is a literal of this module


def _clock(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "") + number(value)


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
