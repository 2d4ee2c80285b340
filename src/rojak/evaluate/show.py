"""Results as tables for the terminal: the targets, the headline measures, the slices, two systems compared."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

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

_COLOURS = {"PASS": "green", "FAIL": "red"}


def format_number(value: float | None, unit: str) -> str:
    """Write a share as per cent, anything else with the digits that matter; a dash where nothing was measured."""
    if value is None:
        return "–"
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
        table.add_column(scores.system or "Reached")
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
        table.add_column(scores.system or "Value [95 %]", justify="right")
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
        table.add_row(part, f"{cell.utterances}{'*' if cell.few else ''}", *values)
    if any(cell.few for cell in scores.slices[slicing].values()):
        table.caption = "* few utterances: the numbers say little"
    return table
