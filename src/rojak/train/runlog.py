"""What a run tells: `log.jsonl` (the truth), TensorBoard, a progress line.

Appends one JSON object an event to RUN/log.jsonl and mirrors numbers to RUN/tensorboard/.
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rojak.runs import append_jsonl, read_jsonl, write_bytes
from rojak.train.health import Finding

LOG_FILE = "log.jsonl"


class Throughput:
    """Speed since the last reading and the time that is left at the speed so far."""

    def __init__(self) -> None:
        self._recent = [0.0, 0.0, 0.0]
        self._steps = 0
        self._all_s = 0.0

    def add(self, audio_s: float, tokens: float, seconds: float) -> float:
        """Count a step; give its seconds back."""
        self._recent = [a + b for a, b in zip(self._recent, (audio_s, tokens, seconds), strict=True)]
        self._steps += 1
        self._all_s += seconds
        return seconds

    def read(self, steps_left: int) -> dict[str, float]:
        """Give audio seconds and tokens a second since the last reading, and the seconds left."""
        audio_s, tokens, seconds = self._recent
        self._recent = [0.0, 0.0, 0.0]
        return {
            "audio_s_per_s": audio_s / seconds,
            "tokens_per_s": tokens / seconds,
            "eta_s": self._all_s / self._steps * steps_left,
        }


class RunLog:
    """Writes events of one process's part of a run.

    Args:
        run: Run directory.
        step: Where this part starts. Steps that an interrupted process logged beyond it are taken out, since they are
            done again.
        total_steps: Of the whole run, for the progress line.
        tensorboard: Whether to mirror numbers there.
    """

    def __init__(self, run: Path, step: int, total_steps: int, *, tensorboard: bool) -> None:
        self.path = run / LOG_FILE
        self._forget_after(step)
        self._writer = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("train", total=total_steps, completed=step, stage="", figures="")
        self._total_steps = total_steps
        self._last_wer: float | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.close()

    def event(self, event: str, **values: Any) -> None:
        """Append an event to the log; numbers with a `step` go to TensorBoard as `event/name` too."""
        append_jsonl(self.path, {"event": event, "time": round(time.time(), 3), **values})
        if self._writer is not None and "step" in values:
            for name, value in values.items():
                if name != "step" and isinstance(value, int | float):
                    self._writer.add_scalar(f"{event}/{name}", value, values["step"])

    def say(self, message: str) -> None:
        """Tell the user something, above the progress line."""
        self._progress.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def finding(self, finding: Finding) -> None:
        """Log something that `health.py` found, and tell it."""
        self.event("health", step=finding.step, kind=finding.kind, message=finding.message)
        self.say(f"Step {finding.step}: {finding.message}")

    def show_step(self, stage: str, values: dict[str, Any]) -> None:
        """Move the progress line; without a terminal, print a plain line instead."""
        figures = f"loss {values['loss']:.3f}"
        if self._last_wer is not None:
            figures += f" · WER {self._last_wer:.1%}"
        figures += f" · {values['audio_s_per_s']:.0f} audio-s/s"
        self._progress.update(self._task, completed=values["step"], stage=stage, figures=figures)
        if not self._console.is_terminal:
            eta_s = values["eta_s"]
            line = f"[{stage}] step {values['step']}/{self._total_steps} · {figures} · ETA {eta_s / 60:.1f} min"
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def show_validation(self, wer: float | None) -> None:
        """Keep the newest WER for the progress line."""
        self._last_wer = wer

    def _forget_after(self, step: int) -> None:
        rows = read_jsonl(self.path)
        kept = [row for row in rows if row.get("step", 0) <= step]
        if len(kept) != len(rows):
            write_bytes(self.path, "".join(_line(row) for row in kept).encode())


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def events(run: Path, kinds: Iterable[str]) -> list[dict[str, Any]]:
    """Read the log's events of the given kinds, in order."""
    wanted = set(kinds)
    return [row for row in read_jsonl(run / LOG_FILE) if row.get("event") in wanted]
