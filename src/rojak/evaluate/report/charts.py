"""Small charts as inline SVG: line panels with intervals, and strips that show a row's values in a table.

Colours come from the page's style sheet (`s0`, `s1` … are the systems), so that one drawing serves light, dark and
print. Every chart has a `<title>`; every point tells its value when pointed at.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rojak.evaluate.report.html import Html, element, join

PANEL_WIDTH, PANEL_HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 34
STRIP_WIDTH, STRIP_HEIGHT = 190, 20
_STRIP_MARGIN = 7
NUM_STYLES = 5
"""Systems that have a colour and a mark of their own; more share the last."""


@dataclass(frozen=True)
class Point:
    """A point of a line, with the ends of its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A line of a panel: its name, points from left to right, number of its style, and how it is drawn."""

    name: str
    points: Sequence[Point]
    style: int = 0
    marked: bool = True
    faint: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis: its range, how its values are written, its name; `ticks` None asks for round numbers."""

    low: float
    high: float
    write: Callable[[float], str]
    label: str = ""
    ticks: Sequence[float] | None = None

    def marks(self, count: int) -> Sequence[float]:
        """Give the values at which the axis is marked."""
        return round_ticks(self.low, self.high, count) if self.ticks is None else self.ticks


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis that has a name, such as a stage of training."""

    start: float
    end: float
    name: str


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """Give at most about `count` round numbers (1, 2, 5 × 10ⁿ apart) from `low` to `high`."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def panel(title: str, lines: Sequence[Line], x: Axis, y: Axis, bands: Sequence[Band] = ()) -> Html:
    """Draw lines over common axes.

    Points outside the y axis are drawn at its edge as triangles.

    Args:
        title: What is shown; the caption and the accessible name.
        lines: Lines, drawn in order.
        x: Horizontal axis.
        y: Vertical axis.
        bands: Named stretches of x, drawn behind.
    """

    def at(value: float) -> float:
        return _LEFT + (value - x.low) / ((x.high - x.low) or 1) * (PANEL_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        inside = min(max(value, y.low), y.high)
        return PANEL_HEIGHT - _BOTTOM - (inside - y.low) / ((y.high - y.low) or 1) * (PANEL_HEIGHT - _TOP - _BOTTOM)

    floor = PANEL_HEIGHT - _BOTTOM
    parts: list[Html] = [element("title", title)]
    for number, band in enumerate(bands):
        left, right = at(max(band.start, x.low)), at(min(band.end, x.high))
        if number % 2:
            parts.append(
                element("rect", class_="band", x=left, y=_TOP, width=max(right - left, 0), height=floor - _TOP)
            )
        if right - left > 7 * len(band.name):
            parts.append(element("text", band.name, class_="bandname", x=(left + right) / 2, y=_TOP - 4))
    for tick in y.marks(4):
        parts.append(element("line", class_="grid", x1=_LEFT, x2=PANEL_WIDTH - _RIGHT, y1=up(tick), y2=up(tick)))
        parts.append(element("text", _short(y.write(tick)), class_="ytick", x=_LEFT - 6, y=up(tick) + 4))
    parts.append(element("line", class_="axis", x1=_LEFT, x2=PANEL_WIDTH - _RIGHT, y1=floor, y2=floor))
    for tick in x.marks(5):
        parts.append(element("text", x.write(tick), class_="xtick", x=at(tick), y=floor + 15))
    parts.append(element("text", x.label, class_="axisname", x=(_LEFT + PANEL_WIDTH - _RIGHT) / 2, y=PANEL_HEIGHT - 4))
    for line in lines:
        parts += _draw(line, at, up, x, y)
    svg = element("svg", *parts, viewBox=f"0 0 {PANEL_WIDTH} {PANEL_HEIGHT}", role="img", aria_label=title)
    return element("figure", element("figcaption", title), svg, class_="panel")


def _short(text: str) -> str:
    return text.replace(".0\u00a0%", "\u00a0%")


def _draw(line: Line, at: Callable[[float], float], up: Callable[[float], float], x: Axis, y: Axis) -> list[Html]:
    style = f"s{min(line.style, NUM_STYLES - 1)}"
    path = " ".join(f"{at(p.x):.1f},{up(p.y):.1f}" for p in line.points)
    parts = [element("polyline", class_=f"line {style}{' faint' if line.faint else ''}", points=path)]
    for p in line.points:
        if p.low is not None and p.high is not None:
            parts.append(
                element("line", class_=f"whisker {style}", x1=at(p.x), x2=at(p.x), y1=up(p.low), y2=up(p.high))
            )
    if line.marked:
        for p in line.points:
            says = f"{line.name}, {x.write(p.x)}: {y.write(p.y)}"
            if p.low is not None and p.high is not None:
                says += f" [{y.write(p.low)}, {y.write(p.high)}]"
            parts.append(mark(at(p.x), up(p.y), line.style, says, beyond=p.y > y.high))
    return parts


def mark(x: float, y: float, style: int, says: str, *, beyond: bool = False) -> Html:
    """Draw a system's mark: filled circle, open circle, square, diamond, triangle; an arrow head when off the scale."""
    style = min(style, NUM_STYLES - 1)
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        f"M{x - 3.6:.1f} {y:.1f}a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z",
        f"M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z",
        f"M{x:.1f} {y - 4.6:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6z",
        f"M{x:.1f} {y - 4.4:.1f}l4.4 7.6h-8.8z",
    )
    shape = f"M{x:.1f} {y - 5:.1f}l5 8h-10z" if beyond else shapes[style]
    return element("path", element("title", says), class_=f"mark s{style}", d=shape)


def strip(
    values: Sequence[tuple[str, float | None, float | None, float | None]],
    high: float,
    *,
    limit: tuple[float, str] | None = None,
) -> Html:
    """Draw the values of one row of a table over a scale from 0 to `high`, the same for every row.

    Args:
        values: (what to say, value, low, high) of each system; a value of None is not drawn.
        high: End of the scale; what lies beyond is drawn at the edge.
        limit: A value to mark and the side of it that is wanted, `<` or `>`; that side is shaded.
    """
    middle = STRIP_HEIGHT / 2

    def at(value: float) -> float:
        return _STRIP_MARGIN + min(max(value / high, 0), 1) * (STRIP_WIDTH - 2 * _STRIP_MARGIN)

    parts: list[Html] = [element("line", class_="grid", x1=at(0), x2=at(high), y1=middle, y2=middle)]
    if limit is not None:
        edge, side = at(limit[0]), limit[1]
        left, width = (at(0), edge - at(0)) if side == "<" else (edge, at(high) - edge)
        parts.append(element("rect", class_="wanted", x=left, y=2, width=width, height=STRIP_HEIGHT - 4))
        parts.append(element("line", class_="limit", x1=edge, x2=edge, y1=1, y2=STRIP_HEIGHT - 1))
    drawn = [(number, *entry) for number, entry in enumerate(values)]
    for number, _, value, low, top in reversed(drawn):
        style = f"s{min(number, NUM_STYLES - 1)}"
        if value is not None and low is not None and top is not None:
            parts.append(element("line", class_=f"whisker {style}", x1=at(low), x2=at(top), y1=middle, y2=middle))
    for number, says, value, _, _ in reversed(drawn):
        if value is not None:
            parts.append(mark(at(value), middle, number, says))
    said = "; ".join(entry[0] for entry in values)
    return element(
        "svg",
        *parts,
        class_="strip",
        viewBox=f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}",
        width=STRIP_WIDTH,
        height=STRIP_HEIGHT,
        role="img",
        aria_label=said,
    )


def strip_scale(high: float, write: Callable[[float], str]) -> Html:
    """Draw the scale above a column of strips."""
    parts = []
    for tick in round_ticks(0, high, 3):
        place = _STRIP_MARGIN + tick / high * (STRIP_WIDTH - 2 * _STRIP_MARGIN)
        parts.append(element("text", write(tick), class_="xtick", x=place, y=11))
    return element(
        "svg",
        *parts,
        class_="strip",
        viewBox=f"0 0 {STRIP_WIDTH} 14",
        width=STRIP_WIDTH,
        height=14,
        aria_hidden="true",
    )


def legend(names: Sequence[str]) -> Html | None:
    """Name the marks; nothing where one system stands alone."""
    if len(names) < 2:
        return None
    entries = [
        element("span", element("svg", mark(8, 8, n, name), viewBox="0 0 16 16", aria_hidden="true"), name)
        for n, name in enumerate(names)
    ]
    return element("p", join(entries), class_="legend")
