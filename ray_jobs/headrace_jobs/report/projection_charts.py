"""Pictures of a projection: the same map coloured by side, by the model's output, and by distance from training."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from headrace_functions.classes import text_of
from headrace_jobs.report.models import MapPoint, ProjectionReport
from headrace_jobs.report.svg import WIDTH, drawing, mark
from headrace_jobs.report_text import number

HEIGHT = 420
MARGIN = 12
HUES = (205, 25, 140, 320, 50, 270, 0, 180)
Paint = Callable[[MapPoint], str]


def by_side(report: ProjectionReport) -> Markup:
    """Training below, the window above; a circle's title says which request it is."""
    neighbours = {n.point for n in report.neighbours}
    parts = []
    for i, point in enumerate(report.points):
        kind = "near" if i in neighbours else "chosen" if _chosen(report, point) else _kind(point)
        parts.append(_circle(point, f'class="{kind}"', _title(point)))
    return drawing(HEIGHT, parts, "map of training and window")


def by_output(report: ProjectionReport) -> Markup:
    """Rows of the window by what the model answered; empty where it answered nothing that has a colour."""
    values = [p.output for p in report.points if p.output is not None]
    if not values:
        return Markup()
    return _painted(report.points, _paint(values), "map of the window coloured by the output")


def by_distance(report: ProjectionReport) -> Markup:
    """Rows of the window by their distance from training: from usual to three times that."""

    def paint(point: MapPoint) -> str:
        over = max(0.0, min(point.distance / (report.usual or 1.0) - 1, 2.0)) / 2
        return f"hsl({210 - 210 * over:.0f} {30 + 55 * over:.0f}% 52%)" if point.side == "window" else ""

    return _painted(report.points, paint, "map of the window coloured by its distance from training")


def _paint(values: Sequence[str | int | float | bool]) -> Paint:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        classes = sorted({text_of(v) for v in values})
        hue = {name: HUES[i % len(HUES)] for i, name in enumerate(classes)}
        return lambda p: "" if p.output is None else f"hsl({hue[text_of(p.output)]} 65% 50%)"
    low, high = min(numbers), max(numbers)
    span = (high - low) or 1.0

    def paint(point: MapPoint) -> str:
        if point.output is None:
            return ""
        return f"hsl({240 - 200 * (float(point.output) - low) / span:.0f} 65% 50%)"

    return paint


def _painted(points: Sequence[MapPoint], paint: Paint, label: str) -> Markup:
    shown = ((p, paint(p)) for p in points)
    return drawing(HEIGHT, [_circle(p, f'fill="{colour}"', "") for p, colour in shown if colour], label)


def _circle(point: MapPoint, look: str, title: str) -> Markup:
    """``look`` is an attribute that this module made."""
    x = MARGIN + (point.at[0] + 1) / 2 * (WIDTH - 2 * MARGIN)
    y = MARGIN + (1 - point.at[1]) / 2 * (HEIGHT - 2 * MARGIN)
    radius = 2.2 if len(point.at) < 3 else 1.4 + (point.at[2] + 1) * 0.9
    template = f'<circle {look} cx="{{}}" cy="{{}}" r="{{}}">' + (
        "<title>{}</title></circle>" if title else "</circle>"
    )
    return mark(template, x, y, radius, title) if title else mark(template, x, y, radius)


def _kind(point: MapPoint) -> str:
    return "map-window" if point.side == "window" else "map-training"


def _chosen(report: ProjectionReport, point: MapPoint) -> bool:
    return report.request is not None and point.request_id == report.request


def _title(point: MapPoint) -> str:
    if point.side == "training":
        return ""
    said = number(point.output) if isinstance(point.output, float) else point.output
    return f"{point.request_id}" + (f"/{point.row}" if point.row else "") + (f": {said}" if said is not None else "")
