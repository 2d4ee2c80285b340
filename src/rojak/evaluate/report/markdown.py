"""The report's main tables as Markdown, for places that show no HTML: a pull request, a model card."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from rojak.evaluate.metrics import METRICS
from rojak.evaluate.report.breakdown import SLICING_TITLES, most_frequent
from rojak.evaluate.report.summary import describe, verdict
from rojak.evaluate.results import Scores
from rojak.evaluate.show import HEADLINE, SLICE_COLUMNS, format_number, format_value
from rojak.evaluate.targets import TARGETS, check_targets
from rojak.runs import write_bytes

_SPECIAL = re.compile(r"[\\`*_{}\[\]|#~]|<(?=\S)|&(?=\S)")


def write_markdown_report(path: Path, systems: Sequence[Scores], *, title: str, date: str) -> None:
    """Write targets, measures, slices and particles as tables.

    Raises:
        InputError: The file cannot be written.
    """
    lines = report_lines(systems, title=title, date=date)
    write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8", errors="replace"))


def report_lines(systems: Sequence[Scores], *, title: str, date: str, leave_out: Collection[str] = ()) -> list[str]:
    """Give the lines of the report, without the slicings in `leave_out`."""
    about, how = describe(systems, date)
    lines = [f"# {_escape(title)}", "", _escape(about), _escape(how), "", f"**{_escape(verdict(systems))}**", ""]
    lines += ["## Targets", "", *_targets(systems), "", "## Measures", "", *_measures(systems)]
    for name, parts in systems[0].slices.items():
        if len(parts) > 1 and name not in leave_out:
            lines += ["", f"## {_escape(SLICING_TITLES.get(name, name))}", "", *_slices(systems, name)]
    if systems[0].particles:
        lines += ["", "## Particles", "", *_particles(systems)]
    notes = list(dict.fromkeys(note for scores in systems for note in scores.notes))
    return [*lines, "", "## Notes", "", *(f"- {_escape(note)}" for note in notes)] if notes else lines


def _targets(systems: Sequence[Scores]) -> list[str]:
    results = [check_targets(scores) for scores in systems]
    rows = []
    for place, target in enumerate(TARGETS):
        cells = [target.title, f"{target.side} {format_number(target.limit, target.unit)}"]
        for result in (column[place] for column in results):
            measured = result.reached.value is not None
            cells.append(format_value(result.reached, target.unit) if measured else "")
            cells.append(f"**{result.verdict}**" if measured else result.verdict)
        rows.append(cells)
    head = ["Target", "Wanted", *(name for scores in systems for name in (scores.system or "Reached", ""))]
    return _table(head, rows)


def _measures(systems: Sequence[Scores]) -> list[str]:
    rows = []
    for name in HEADLINE:
        values = [scores.overall.metrics[name] for scores in systems]
        if any(value.value is not None for value in values):
            metric = METRICS[name]
            cells = [format_value(value, metric.unit) for value in values]
            rows.append([metric.title, *cells, f"{max(value.n for value in values):,}"])
    return _table(["Measure", *(scores.system or "Value" for scores in systems), "of"], rows)


def _slices(systems: Sequence[Scores], slicing: str) -> list[str]:
    first, *others = systems
    parts = first.slices[slicing]
    rows = []
    shown = most_frequent(parts)
    for part in shown:
        cell = parts[part]
        cells = [format_value(cell.metrics[name], METRICS[name].unit) for name in SLICE_COLUMNS]
        for scores in others:
            other = scores.slices.get(slicing, {}).get(part)
            cells.append(format_value(other.metrics["wer"], "%") if other else "not measured")
        rows.append([_escape(part), f"{cell.utterances}{' (few)' if cell.few else ''}", *cells])
    head = ["", "Utterances", *(METRICS[name].title for name in SLICE_COLUMNS)]
    lines = _table([*head, *(f"WER {scores.system}" for scores in others)], rows)
    left = len(parts) - len(shown)
    return [*lines, "", f"{left} more parts with fewer utterances are in metrics.json."] if left else lines


def _particles(systems: Sequence[Scores]) -> list[str]:
    rows = []
    for name, first in systems[0].particles.items():
        cells = [_escape(name), f"{first.said}"]
        for scores in systems:
            found = scores.particles.get(name)
            rates = (found.recall, found.precision) if found else (None, None)
            cells += [format_number(rate, "%") for rate in rates]
        rows.append(cells)
    head = ["Particle", "Said"]
    head += [f"{kind} {scores.system}" for scores in systems for kind in ("Recall", "Precision")]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in ([_escape(cell) for cell in head], rule, *rows)]


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
