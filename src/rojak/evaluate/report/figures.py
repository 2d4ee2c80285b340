"""How numbers look in the page's tables: cells with intervals, differences, bars, heat."""

from rojak.evaluate.compare import Difference
from rojak.evaluate.metrics import Metric
from rojak.evaluate.report.charts import NUM_STYLES
from rojak.evaluate.report.html import Child, Html, element, join
from rojak.evaluate.results import Value
from rojak.evaluate.show import format_number, format_value

NO_BREAK = "\u00a0"
MINUS = "−"


def number(value: float | None, unit: str = "%") -> str:
    """Write a number so that it stays in one line."""
    return format_number(value, unit).replace(" ", NO_BREAK)


def said(label: str, value: Value, unit: str = "%") -> str:
    """Write a system's value as a sentence for tool tips and screen readers."""
    return f"{label}: {format_value(value, unit)}"


def value_with_interval(value: Value, unit: str = "%") -> Html:
    """Write a value and, smaller, its interval."""
    if value.value is None:
        return element("span", "not measured", class_="none")
    if value.low is None or value.high is None:
        return element("b", number(value.value, unit))
    scale, digits = (100, ".1f") if unit == "%" else (1, ".3g")
    interval = f"[{scale * value.low:{digits}}, {scale * value.high:{digits}}]".replace(" ", NO_BREAK)
    return join([element("b", number(value.value, unit)), " ", element("span", interval, class_="interval")])


def value_alone(value: Value, unit: str = "%") -> Html:
    """Build a cell with a value alone."""
    if value.value is None:
        return element("td", "not measured", class_="none")
    return element("td", number(value.value, unit))


def difference(found: Difference, metric: Metric) -> Html | None:
    """Write by how much a system differs from another one, coloured as better or worse where that is sure."""
    if found.difference is None:
        return None
    scale, digits = (100, "+.1f") if metric.unit == "%" else (1, "+.3f")
    shown = f"{scale * found.difference:{digits}}"
    text = join([shown.replace("-", MINUS)])
    if found.low is not None and found.high is not None:
        ends = f"[{scale * found.low:{digits}}, {scale * found.high:{digits}}]".replace("-", MINUS)
        text = join([text, " ", element("span", ends.replace(" ", NO_BREAK), class_="interval")])
    if metric.better == "neither":
        return element("span", text)
    better = (found.difference < 0) == (metric.better == "lower")
    sure = f"P(better) = {100 * found.p_better:.1f} %" if found.p_better is not None else None
    # A difference that is written as 0 is not worth a colour, however sure it is.
    sign = ("better" if better else "worse") if found.significant and float(shown) else None
    return element("span", text, class_=sign, title=sure)


def row(*cells: Child, class_: str | None = None) -> Html:
    """Build a table row; the first cell is its heading."""
    first = cells[0] if cells and cells[0] is not None else ""
    rest = (_cell(cell) for cell in cells[1:])
    return element("tr", element("th", first, scope="row"), *rest, class_=class_)


def _cell(cell: Child) -> Html:
    if isinstance(cell, Html) and cell.startswith("<td"):
        return cell
    return element("td", cell)


def table(
    head: list[Child], rows: list[Html], *, caption: str, class_: str | None = None, show_caption: bool = True
) -> Html:
    """Build a table in a box of its own, which scrolls where the page is narrow; the caption stands above the box."""
    heading = element("thead", element("tr", *(element("th", cell, scope="col") for cell in head)))
    built = element("table", heading, element("tbody", *rows), class_=class_)
    box = element("div", built, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return element("div", element("p", caption, class_="caption"), box) if show_caption else box


def bar(share: float | None, system: int) -> Html:
    """Build a cell with a share and a bar as long as it, in the colour of the system of that number."""
    if share is None:
        return element("td", "not measured", class_="none")
    style = f"bar b{min(system, NUM_STYLES - 1)}"
    return element("td", element("span", element("span", number(share)), class_=style, style=f"--share:{share:.3f}"))


def heat(count: int, whole: int, says: str, *, right: bool) -> Html:
    """Build a cell of a confusion matrix: its share of the row in colour and number, the count when pointed at."""
    if not count:
        return element("td", "·", class_="none")
    share = count / whole
    text = f"{100 * share:.0f}" if share >= 0.095 else f"{100 * share:.1f}"
    kind = "heat right" if right else "heat"
    return element("td", text, class_=kind, style=f"--share:{share:.3f}", title=f"{says}: {count} of {whole}")


def jump(text: str, where: str) -> Html:
    """Mark a text that leads to the utterances behind it; `where` is `slicing/part` or `particle/form`."""
    return element("span", text, data_jump=where)
