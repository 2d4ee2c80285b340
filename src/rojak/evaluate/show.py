"""Results as tables for the terminal: the targets, the headline measures, the slices, two systems compared."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rojak.evaluate.compare import Change, ComparedCell, Comparison, Difference
from rojak.evaluate.metrics import METRICS
from rojak.evaluate.results import Scores, Value
from rojak.evaluate.targets import TARGETS, TargetResult, check_targets

HEADLINE = (
    *("wer", "cer", "ser", "substitution_rate", "deletion_rate", "insertion_rate"),
    *("language_accuracy", "language_macro_f1", "switch_f1", "pier"),
    *("particle_recall", "particle_precision", "particle_f1", "particle_recall_near"),
    *("runaway_rate", "repeat_rate", "empty_rate", "nonspeech_heard_rate", "rtf"),
)
"""Measures of the main table."""

SLICE_COLUMNS = ("wer", "cer", "language_accuracy", "switch_f1", "particle_recall")
"""Measures of the tables of slices."""

_FEW = "* few utterances: the numbers say little"
_COLOURS = {"PASS": "green", "FAIL": "red"}


def format_number(value: float | None, unit: str) -> str:
    """Write a share as per cent, anything else with the digits that matter; None is "not measured"."""
    if value is None:
        return "not measured"
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{value:.3g} {unit}".strip()


def format_value(value: Value, unit: str) -> str:
    """Write a value with its interval: "12.3 % [11.0, 13.9]"."""
    if value.value is None:
        return "not measured"
    if value.low is None or value.high is None:
        return format_number(value.value, unit)
    scale, digits = (100, ".1f") if unit == "%" else (1, ".3g")
    return f"{format_number(value.value, unit)} [{scale * value.low:{digits}}, {scale * value.high:{digits}}]"


def targets_table(systems: Sequence[Scores]) -> Table:
    """Lay out the targets with each system's verdict, value and 95 % interval side by side."""
    table = Table(title="Targets", title_justify="left", caption_justify="left")
    table.add_column("Target")
    table.add_column("Wanted", justify="right", no_wrap=True)
    for scores in systems:
        table.add_column(escape(scores.system) or "Reached")
    results = [check_targets(scores) for scores in systems]
    for row, target in enumerate(TARGETS):
        wanted = f"{target.side} {format_number(target.limit, target.unit)}"
        table.add_row(target.title, wanted, *(_reached(column[row]) for column in results))
    shown = [result for column in results for result in column if result.reached.value is not None]
    captions = ["? the interval reaches across the limit"] if any(result.certain is False for result in shown) else []
    captions += ["* few utterances"] if any(result.few for result in shown) else []
    table.caption = ", ".join(captions) or None
    return table


def _reached(result: TargetResult) -> Text:
    if result.reached.value is None:
        return Text("not measured", style="dim")
    marks = ("?" if result.certain is False else "") + ("*" if result.few else "")
    text = Text(result.verdict + marks, style=f"bold {_COLOURS[result.verdict]}")
    return text.append(f" {format_value(result.reached, result.target.unit)}", style="not bold default")


def headline_table(systems: Sequence[Scores]) -> Table:
    """Lay out the headline measures of the whole set, one column a system."""
    first = systems[0].overall
    title = f"{first.utterances} utterances, {first.counts['words']:.0f} words, normaliser {systems[0].normalizer}"
    table = Table(title=title, title_justify="left")
    table.add_column("Measure")
    for scores in systems:
        table.add_column(escape(scores.system) or "Value [95 %]", justify="right")
    table.add_column("of", justify="right")
    for name in HEADLINE:
        values = [scores.overall.metrics[name] for scores in systems]
        if any(value.value is not None for value in values):
            metric = METRICS[name]
            base = max(value.n for value in values)
            table.add_row(metric.title, *(format_value(value, metric.unit) for value in values), f"{base}")
    return table


def slice_table(scores: Scores, slicing: str) -> Table:
    """Lay out one slicing of one system; parts with few utterances carry a *."""
    table = Table(title=f"By {slicing}", title_justify="left")
    table.add_column(slicing)
    table.add_column("Utterances", justify="right")
    for name in SLICE_COLUMNS:
        table.add_column(METRICS[name].title, justify="right")
    for part, cell in scores.slices[slicing].items():
        values = (format_value(cell.metrics[name], METRICS[name].unit) for name in SLICE_COLUMNS)
        table.add_row(escape(part), f"{cell.utterances}{'*' if cell.few else ''}", *values)
    if any(cell.few for cell in scores.slices[slicing].values()):
        table.caption = _FEW
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Lay out the headline measures of two systems with their difference, its interval and P(better)."""
    cell = comparison.overall
    names = escape(comparison.first) or "first", escape(comparison.second) or "second"
    table = Table(title=f"{names[1]} against {names[0]}, {cell.utterances} utterances", title_justify="left")
    for heading in ("Measure", *names, "Difference [95 %]", "P(better)"):
        table.add_column(heading, justify="left" if heading == "Measure" else "right")
    for name in HEADLINE:
        found, metric = cell.metrics[name], METRICS[name]
        if found.difference is not None:
            values = (format_number(value, metric.unit) for value in (found.first, found.second))
            table.add_row(metric.title, *values, *_difference(found, metric.unit))
    table.caption = f"{describe_mapsswe(cell)}; {len(comparison.better)} better, {len(comparison.worse)} worse"
    table.caption_justify = "left"
    return table


def compared_slice_table(comparison: Comparison, slicing: str, metric: str = "wer") -> Table:
    """Lay out one measure of two systems over the parts of a slicing."""
    names = escape(comparison.first) or "first", escape(comparison.second) or "second"
    title = METRICS[metric].title
    table = Table(title=f"{title} by {slicing}", title_justify="left", caption_justify="left")
    for heading in (slicing, "Utterances", *names, "Difference [95 %]", "P(better)"):
        table.add_column(heading, justify="left" if heading == slicing else "right")
    for part, cell in comparison.slices[slicing].items():
        found, unit = cell.metrics[metric], METRICS[metric].unit
        values = (format_number(value, unit) for value in (found.first, found.second))
        table.add_row(escape(part), f"{cell.utterances}{'*' if cell.few else ''}", *values, *_difference(found, unit))
    if any(cell.few for cell in comparison.slices[slicing].values()):
        table.caption = _FEW
    return table


def describe_mapsswe(cell: ComparedCell) -> str:
    """Say in a phrase what the matched-pairs test found."""
    test = cell.mapsswe
    if test.p is None:
        return f"MAPSSWE: too few segments ({test.segments})"
    return f"MAPSSWE: p = {test.p:.2g} over {test.segments} segments"


def describe_change(change: Change, first: Scores, second: Scores) -> str:
    """Show one utterance on which two systems differ: errors, reference, both hypotheses."""
    lines = [f"{change.audio_id}: {change.first_errors} → {change.second_errors} errors in {change.words} words"]
    for name, scores in ((first.system, first), (second.system, second)):
        row = next(score.prediction for score in scores.utterances if score.prediction.audio_id == change.audio_id)
        lines += [f"  reference  {row.reference}"] if scores is first else []
        lines.append(f"  {name:10} {row.hypothesis}")
    return "\n".join(lines)


def _difference(found: Difference, unit: str) -> tuple[str, str]:
    if found.difference is None:
        return "not measured", ""
    scale, digits = (100, "+.1f") if unit == "%" else (1, "+.3f")
    text = f"{scale * found.difference:{digits}}"
    if found.low is not None and found.high is not None:
        text += f" [{scale * found.low:{digits}}, {scale * found.high:{digits}}]"
    return text, "" if found.p_better is None else f"{found.p_better:.3f}"
