"""The top of the page: what was measured, the targets, every measure, and what a reader must know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rojak import __version__
from rojak.errors import InputError
from rojak.evaluate.compare import Comparison, compare
from rojak.evaluate.metrics import METRICS
from rojak.evaluate.report.charts import legend, strip, strip_scale
from rojak.evaluate.report.figures import NO_BREAK, difference, number, row, said, table, value_with_interval
from rojak.evaluate.report.html import Child, Html, element, join
from rojak.evaluate.results import Scores, Value
from rojak.evaluate.show import HEADLINE, describe_mapsswe
from rojak.evaluate.targets import TARGETS, TRAINING_HOURS, Target, TargetResult, check_targets

_RESAMPLES = 10_000
_MARKS = {"PASS": "✓", "FAIL": "✗", "not measured": "–"}
_CLASSES = {"PASS": "pass", "FAIL": "fail", "not measured": "unmeasured"}


def describe(systems: Sequence[Scores], date: str) -> tuple[str, str]:
    """Say in two lines what was measured (model, data) and when and how (decoding, normaliser).

    Read from `Scores.settings`: `model`, `base`, `parameters_m`, `data`, and whatever else is there as it is.
    """
    first = systems[0]
    models = " · ".join(_describe_model(scores, labelled=len(systems) > 1) for scores in systems)
    cell = first.overall
    data = [f"{cell.utterances:,} utterances"]
    data += [f"{cell.speakers} speakers"] if cell.speakers else []
    data += [f"{_describe_seconds(cell.audio_s)} of audio"] if cell.audio_s else []
    where = first.settings.get("data")
    about = f"{models}. Data: {f'{where}, ' if where else ''}{', '.join(data)}."
    known = {"model", "base", "parameters_m", "data", TRAINING_HOURS}
    rest = list(_flatten({key: value for key, value in first.settings.items() if key not in known}))
    how = f"Decoding: {', '.join(rest)}. " if rest else ""
    return about, f"{date}. {how}Normaliser: {first.normalizer}. Rojak {__version__}."


def _describe_model(scores: Scores, *, labelled: bool) -> str:
    model = str(scores.settings.get("model") or scores.system or "unnamed model")
    details = []
    if scores.settings.get("base"):
        details.append(f"from {scores.settings['base']}")
    if scores.settings.get("parameters_m"):
        details.append(f"{scores.settings['parameters_m']:g} M parameters")
    text = model + (f" ({', '.join(details)})" if details else "")
    return f"{scores.system}: {text}" if labelled and scores.system != model else text


def _describe_seconds(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _flatten(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value)
        elif value is not None:
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
            shown = "+".join(map(str, value)) if isinstance(value, list | tuple) else shown
            yield f"{key.replace('_', NO_BREAK)}{NO_BREAK}{shown}"


def verdict(systems: Sequence[Scores]) -> str:
    """Give the answer in one sentence: how many targets each system meets."""
    parts: list[str] = []
    for scores in systems:
        results = [result for result in check_targets(scores) if result.verdict != "not measured"]
        met = sum(result.verdict == "PASS" for result in results)
        name = scores.system or "The system"
        parts.append(
            f"{name} meets {met} of the {len(results)} targets measured" if not parts else f"{name} meets {met}"
        )
    return "; ".join(parts) + "."


def targets_section(systems: Sequence[Scores]) -> Html:
    """Lay out the targets: value, interval, verdict, and how far from the limit."""
    results = [check_targets(scores) for scores in systems]
    head: list[Child] = ["Target", "Wanted"]
    for scores in systems:
        head += [scores.system or "Reached", ""]
    head.append("Shaded: as wanted")
    rows = []
    for place, target in enumerate(TARGETS):
        mine = [column[place] for column in results]
        cells: list[Child] = [target.title, f"{target.side} {number(target.limit, target.unit)}"]
        for scores, result in zip(systems, mine, strict=True):
            reached = None if result.reached.value is None else value_with_interval(result.reached, target.unit)
            cells.append(element("td", reached, class_="reached", data_system=scores.system))
            cells.append(element("td", _verdict(result), class_="left"))
        rows.append(row(*cells, element("td", _target_strip(target, mine, systems), class_="drawn")))
    return join(
        [
            element("p", verdict(systems), class_="verdict"),
            table(head, rows, class_="targets", caption="Targets, with 95 % intervals", show_caption=False),
            legend([scores.system for scores in systems]),
        ]
    )


def _verdict(result: TargetResult) -> Html:
    badge = element("span", f"{_MARKS[result.verdict]} {result.verdict}", class_=f"badge {_CLASSES[result.verdict]}")
    doubts = ["few utterances"] if result.few and result.verdict != "not measured" else []
    doubts += ["interval holds the limit"] if result.certain is False else []
    return join([badge, element("span", ", ".join(doubts), class_="doubt") if doubts else None])


def _target_strip(target: Target, results: Sequence[TargetResult], systems: Sequence[Scores]) -> Html | None:
    if all(result.reached.value is None for result in results):
        return None
    values = [result.reached for result in results]
    ends = [end for value in values for end in (value.value, value.high) if end is not None]
    high = 1.0 if target.unit == "%" else max(target.limit * 1.25, *ends)
    return _strip(systems, values, high, target)


def _strip(systems: Sequence[Scores], values: Sequence[Value], high: float, target: Target | None = None) -> Html:
    unit = target.unit if target else "%"
    drawn = [
        (said(scores.system, value, unit), value.value, value.low, value.high)
        for scores, value in zip(systems, values, strict=True)
    ]
    return strip(drawn, high, limit=(target.limit, target.side) if target else None)


def compare_first(systems: Sequence[Scores]) -> tuple[list[Comparison], list[str]]:
    """Hold the first system against each other one; gives notes on those it cannot be held against."""
    first = replace(systems[0], labels={})  # The whole set only; slices are `rojak compare`'s.
    comparisons, notes = [], []
    for other in systems[1:]:
        try:
            resamples = _RESAMPLES if first.overall.resampled else 0
            comparisons += compare([replace(other, labels={}), first], resamples)
        except InputError as error:
            notes.append(f"{other.system} stands beside without differences. {error}")
    return comparisons, notes


def measures_section(systems: Sequence[Scores], comparisons: Sequence[Comparison]) -> Html:
    """Lay out every headline measure of the whole set, and how the first system differs from the others."""
    head: list[Child] = ["Measure", *(scores.system or "Value" for scores in systems)]
    head += [f"{found.second} − {found.first}" for found in comparisons]
    head += ["Measured on", join(["From 0 to 100 %", strip_scale(1, lambda value: f"{100 * value:.0f}")])]
    rows = []
    for name in HEADLINE:
        metric = METRICS[name]
        values = [scores.overall.metrics[name] for scores in systems]
        if all(value.value is None for value in values):
            continue
        changes = [difference(found.overall.metrics[name], metric) for found in comparisons]
        base = ", ".join(dict.fromkeys(f"{value.n:,}" for value in values))
        arrow = {"lower": "less is better", "higher": "more is better", "neither": None}[metric.better]
        title = element("span", metric.title, title=arrow)
        shown = (value_with_interval(value, metric.unit) for value in values)
        drawn = element("td", _strip(systems, values, 1.0) if metric.unit == "%" else None, class_="drawn")
        rows.append(row(title, *shown, *changes, base, drawn))
    caption = "Every measure over the whole set, with 95 % intervals"
    said_of = (_describe_comparison(found) for found in comparisons)
    return join([table(head, rows, class_="measures", caption=caption, show_caption=False), *said_of])


def _describe_comparison(found: Comparison) -> Html:
    text = (
        f"Of {found.overall.utterances:,} utterances {found.second} has fewer errors than {found.first} in "
        f"{len(found.better):,}, more in {len(found.worse):,}, as many in {found.same:,}. "
        f"{describe_mapsswe(found.overall)}. Differences are coloured where their interval leaves 0 out."
    )
    return element("p", text, class_="small")


def notes_section(systems: Sequence[Scores], more: Sequence[str]) -> Html | None:
    """List what a reader of the numbers must know: the scorer's notes, and the report's own."""
    heard_of: dict[str, list[str]] = {}
    for scores in systems:
        for note in scores.notes:
            heard_of.setdefault(note, []).append(scores.system)
    notes = [note if len(names) == len(systems) else f"{', '.join(names)}: {note}" for note, names in heard_of.items()]
    notes += more
    if not notes:
        return None
    return element("ul", *(element("li", note) for note in notes), class_="notes")
