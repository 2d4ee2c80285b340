"""A run in the terminal, while it trains or afterwards: curves, speed, decoded samples, warnings.

Reads RUN/log.jsonl and nothing else, so it works over ssh and beside a run of any machine that shares the disk.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rojak.errors import InputError
from rojak.runs import explain_os_error
from rojak.train.happened import what_happened
from rojak.train.runlog import LOG_FILE

Row = Mapping[str, Any]
BARS = "▁▂▃▄▅▆▇█"
CURVES = (
    ("train", "loss", "training loss", "{:.3f}"),
    ("validation", "validation_loss", "validation loss", "{:.3f}"),
    ("validation", "wer", "validation WER", "{:.1%}"),
    ("train", "learning_rate", "learning rate", "{:.2g}"),
    ("train", "grad_norm", "gradient norm", "{:.2f}"),
    ("train", "audio_s_per_s", "audio-s/s", "{:.0f}"),
)
"""Event, field, title and number format of what is drawn."""
NUM_SAMPLES = 4
NUM_WARNINGS = 6


class LogTail:
    """The events of a log that grows; only what was appended is read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.rows: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Take up new lines and give all events; a line that is still being written is left for the next time.

        Raises:
            InputError: The log is gone, or holds a line that is no JSON.
        """
        try:
            if self._path.stat().st_size < self._offset:  # a continued run takes out what it will do again
                self._offset, self.rows = 0, []
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError as error:
            raise explain_os_error(error, self._path) from error
        whole = new[: new.rfind(b"\n") + 1]
        try:
            self.rows += [json.loads(line) for line in whole.splitlines()]
        except ValueError:
            raise InputError(f"{self._path} is not valid JSON Lines; the log was edited or damaged.") from None
        self._offset += len(whole)
        return self.rows


def watch(run: Path, console: Console, *, once: bool = False, interval_s: float = 2.0) -> None:
    """Show a run until it ends; Ctrl-C stops watching, not the run.

    Args:
        run: Run directory.
        console: Where to draw.
        once: Draw the present state and return.
        interval_s: Seconds between readings.

    Raises:
        InputError: There is no log, or it is damaged.
    """
    log = run / LOG_FILE
    if not log.is_file():
        raise InputError(f"{run} holds no {LOG_FILE}; give a run directory, the output_dir of `rojak train`.")
    tail = LogTail(log)
    if once:
        console.print(draw(run, tail.read(), console.width))
        return
    with Live(draw(run, tail.read(), console.width), console=console, auto_refresh=False) as live:
        while not has_ended(tail.rows):
            time.sleep(interval_s)
            live.update(draw(run, tail.read(), console.width), refresh=True)


def has_ended(rows: Sequence[Row]) -> bool:
    """Say whether the run, as far as its log goes, has come to its end, was stopped or failed."""
    return bool(rows) and rows[-1].get("event") == "summary"


def draw(run: Path, rows: Sequence[Row], width: int) -> RenderableType:
    """Build the view of a run's events for a terminal of `width` columns."""
    parts: list[RenderableType] = [Text(_head(run, rows), style="bold", overflow="fold")]
    curves = Table.grid(padding=(0, 2))
    for event, field, title, form in CURVES:
        values = [float(row[field]) for row in rows if row.get("event") == event and _is_number(row.get(field))]
        if values:
            line = sparkline(values, max(10, width - 62))
            figures = f"first {form}  best {form}  now {form}" if event == "validation" else f"from {form}  to {form}"
            marks = (values[0], min(values), values[-1]) if event == "validation" else (values[0], values[-1])
            curves.add_row(title, Text(line, style="cyan"), figures.format(*marks))
    parts.append(Panel(curves, title="curves", title_align="left", border_style="dim"))
    samples: list[dict[str, str]] = next(
        (row["samples"] for row in reversed(rows) if row.get("event") == "samples"), []
    )
    if samples:
        parts.append(Panel(_samples(samples), title="last decoded samples", title_align="left", border_style="dim"))
    warnings = [row for row in rows if row.get("event") == "health"][-NUM_WARNINGS:]
    for row in warnings:
        parts.append(Text(f"! step {row['step']}: {row['message']}", style="yellow", overflow="fold"))
    if has_ended(rows):
        lines = [line for line in what_happened(rows) if not line.startswith("Step ")]
        parts.append(Text("What happened: " + " ".join(lines), overflow="fold"))
    return Group(*parts)


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values as a line of bars, the lowest at ▁ and the highest at █; many values are averaged in groups."""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)


def _head(run: Path, rows: Sequence[Row]) -> str:
    train = [row for row in rows if row.get("event") == "train"]
    total = next((row["total_steps"] for row in reversed(rows) if row.get("event") == "start"), None)
    if not train:
        return f"{run} · no step logged yet" + (f" of {total}" if total else "")
    last = train[-1]
    ended = has_ended(rows)
    eta = "ended" if ended else f"ETA {last['eta_s'] / 60:.1f} min"
    waited = f" · waiting for audio {last['wait_s'] / last['step_s']:.0%}" if last.get("step_s") else ""
    return (
        f"{run} · stage {last['stage']} · step {last['step']} of {total or '?'} · {last['audio_s_per_s']:.0f} audio-s/s"
        f"{waited} · {eta}"
    )


def _samples(samples: Sequence[Mapping[str, str]]) -> Table:
    table = Table.grid(padding=(0, 1))
    for sample in samples[:NUM_SAMPLES]:
        table.add_row(Text("said", style="dim"), Text(sample["reference"]))
        table.add_row(Text("heard", style="dim"), Text(sample["hypothesis"], style="green"))
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
