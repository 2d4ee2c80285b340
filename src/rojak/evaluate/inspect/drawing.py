"""Pieces of the page: histograms as inline SVG, tables with bars, texts with their languages in colour."""

from collections.abc import Mapping, Sequence

from rojak.evaluate.inspect.survey import Histogram, Share
from rojak.evaluate.report.charts import PANEL_HEIGHT, PANEL_WIDTH, round_ticks
from rojak.evaluate.report.figures import bar, row, table
from rojak.evaluate.report.html import Html, element, join
from rojak.records import Word

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 8, 34
_CLASSES = {"particle": "pt", "other": "ot"}


def draw_histogram(title: str, unit: str, found: Histogram) -> Html:
    """Draw counts as bars with the median marked; every bar tells its range and count when pointed at."""
    low, high, top = found.edges[0], found.edges[-1], max(found.counts)
    floor = PANEL_HEIGHT - _BOTTOM

    def at(value: float) -> float:
        return _LEFT + (value - low) / ((high - low) or 1) * (PANEL_WIDTH - _LEFT - _RIGHT)

    def up(count: float) -> float:
        return floor - count / top * (floor - _TOP)

    parts: list[Html] = [element("title", title)]
    for tick in round_ticks(0, top, 4):
        parts.append(element("line", class_="grid", x1=_LEFT, x2=PANEL_WIDTH - _RIGHT, y1=up(tick), y2=up(tick)))
        parts.append(element("text", f"{tick:,.0f}", class_="ytick", x=_LEFT - 6, y=up(tick) + 4))
    for left, right, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        if count:
            says = element("title", f"{left:g} to {right:g} {unit}: {count:,} clips")
            width = max(at(right) - at(left) - 1, 0.5)
            parts.append(element("rect", says, class_="count", x=at(left), y=up(count), width=width,
                                 height=floor - up(count)))  # fmt: skip
    parts.append(element("line", class_="axis", x1=_LEFT, x2=PANEL_WIDTH - _RIGHT, y1=floor, y2=floor))
    middle = at(found.median)
    parts.append(element("line", class_="median", x1=middle, x2=middle, y1=_TOP, y2=floor))
    for tick in round_ticks(low, high, 5):
        parts.append(element("text", f"{tick:g}", class_="xtick", x=at(tick), y=floor + 15))
    parts.append(element("text", unit, class_="axisname", x=(_LEFT + PANEL_WIDTH - _RIGHT) / 2, y=PANEL_HEIGHT - 4))
    svg = element("svg", *parts, viewBox=f"0 0 {PANEL_WIDTH} {PANEL_HEIGHT}", role="img", aria_label=title)
    caption = join([title, " ", element("span", f"median {found.median:.3g}", class_="soft")])
    return element("figure", element("figcaption", caption), svg, class_="panel")


def shares_table(title: str, shares: Mapping[str, Share], shown: int, names: Mapping[str, str]) -> Html:
    """Lay out hours and clips of the parts of the data; what is beyond `shown` parts is summed up in one row."""
    whole = sum(share.hours for share in shares.values()) or 1.0
    parts = list(shares.items())
    unit = "Hours" if whole >= 1 else "Minutes"
    rows = [_share_row(names.get(name, name), share, whole) for name, share in parts[:shown]]
    rest = [share for _, share in parts[shown:]]
    if rest:
        summed = Share(sum(one.clips for one in rest), sum(one.hours for one in rest))
        rows.append(_share_row(f"{len(rest)} more", summed, whole))
    return table([title, unit, "Clips", "Share of hours"], rows, caption=f"By {title.lower()}", show_caption=False)


def _share_row(name: str, share: Share, whole: float) -> Html:
    length = share.hours if whole >= 1 else 60 * share.hours
    return row(name, f"{length:.2f}", f"{share.clips:,}", bar(share.hours / whole, 0))


def counts_table(title: str, counts: Mapping[str, int], shown: int) -> Html:
    """Lay out how often each thing was counted."""
    whole = sum(counts.values()) or 1
    parts = list(counts.items())
    rest = sum(count for _, count in parts[shown:])
    if rest:
        parts = [*parts[:shown], (f"{len(counts) - shown} more", rest)]
    rows = [row(name, f"{count:,}", bar(count / whole, 0)) for name, count in parts]
    return table([title, "Times", "Share"], rows, caption=title, show_caption=False)


def coloured(text: str, words: Sequence[Word] | None) -> Html:
    """Give a transcript as it was written, each word in the colour of its language.

    A word that is not found in the text where it should be stays without colour.
    """
    lower, at = text.lower(), 0
    parts: list[str] = []
    for word in words or ():
        place = lower.find(word.word.lower(), at) if len(lower) == len(text) else -1
        if place < 0 or not word.word:
            continue
        end = place + len(word.word)
        kind = _CLASSES.get(word.language, word.language)
        lang = word.language if word.language in ("zh", "ta", "ms", "en") else None
        parts += [text[at:place], element("span", text[place:end], class_=kind, lang=lang)]
        at = end
    return element("p", *parts, text[at:], class_="said")
