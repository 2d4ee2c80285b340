"""What a run tells: `log.jsonl` (the truth), its mirrors, a progress line.

Appends one JSON object an event to RUN/log.jsonl.
"""

import json
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rojak.config.schema import TrainConfig
from rojak.runs import append_jsonl, read_jsonl, write_bytes
from rojak.train.health import Finding
from rojak.train.mirrors import Mirror, open_mirrors

LOG_FILE = "log.jsonl"


class Throughput:
    """Speed since the last reading and the time that is left at the speed so far.

    Args:
        peak: Operations a second that the devices of all processes could do together; None where it is not known.
    """

    def __init__(self, peak: float | None = None) -> None:
        self._peak = peak
        self._recent = dict.fromkeys(("audio_s", "tokens", "flops", "seconds"), 0.0)
        self._steps = 0
        self._all_s = 0.0

    def add(self, figures: dict[str, Any], seconds: float) -> float:
        """Count a step with its `audio_s`, `tokens` and `flops`; give its seconds back."""
        figures = {**figures, "seconds": seconds}
        self._recent = {name: value + figures[name] for name, value in self._recent.items()}
        self._steps += 1
        self._all_s += seconds
        return seconds

    def read(self, steps_left: int) -> dict[str, float]:
        """Give audio seconds and tokens a second since the last reading, the seconds left, and the use of the peak."""
        recent, self._recent = self._recent, dict.fromkeys(self._recent, 0.0)
        speeds = {
            "audio_s_per_s": recent["audio_s"] / recent["seconds"],
            "tokens_per_s": recent["tokens"] / recent["seconds"],
            "eta_s": self._all_s / self._steps * steps_left,
        }
        if self._peak:
            speeds["flops_utilisation"] = recent["flops"] / recent["seconds"] / self._peak
        return speeds


def used_memory(device: torch.device) -> dict[str, float]:
    """Give the most memory used so far: the GPU's, or on a CPU the process's."""
    if device.type == "cuda":
        return {"memory_gib": torch.cuda.max_memory_allocated(device) / 2**30}
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"memory_gib": kib / (2**20 if sys.platform != "darwin" else 2**30)}


class RunLog:
    """Writes events of one part of a run: from its start or continuation to its end or interruption.

    Args:
        run: Run directory.
        step: Where this part starts. Steps that an interrupted process logged beyond it are taken out, since they are
            done again.
        total_steps: Of the whole run, for the progress line.
        config: Says whether to mirror numbers to TensorBoard and W&B.
        quiet: Write and tell nothing; for all processes but the first.
    """

    def __init__(self, run: Path, step: int, total_steps: int, config: TrainConfig, *, quiet: bool = False) -> None:
        self.path = run / LOG_FILE
        self._quiet = quiet
        self._mirrors: list[Mirror] = []
        if not quiet:
            self._forget_after(step)
            self._mirrors = open_mirrors(run, step, config)
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
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
        for mirror in self._mirrors:
            mirror.close()

    def event(self, event: str, **values: Any) -> None:
        """Append an event to the log; numbers with a `step` go to the mirrors as `event/name` too."""
        if self._quiet:
            return
        append_jsonl(self.path, {"event": event, "time": round(time.time(), 3), **values})
        if "step" in values:
            numbers = {f"{event}/{k}": v for k, v in values.items() if k != "step" and isinstance(v, int | float)}
            for mirror in self._mirrors:
                mirror.add(numbers, values["step"])

    def say(self, message: str) -> None:
        """Tell the user something, above the progress line."""
        if self._quiet:
            return
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
        if not self._quiet and not self._console.is_terminal:
            eta_s = values["eta_s"]
            line = f"[{stage}] step {values['step']}/{self._total_steps} · {figures} · ETA {eta_s / 60:.1f} min"
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def show_validation(self, wer: float | None) -> None:
        """Keep the newest WER for the progress line."""
        self._last_wer = wer

    def _forget_after(self, step: int) -> None:
        kept = "".join(_line(row) for row in read_jsonl(self.path) if row.get("step", 0) <= step)
        # Also rewritten when a crash cut the last line short: the next one must not be joined to it.
        if self.path.exists() and self.path.read_text(encoding="utf-8", errors="replace") != kept:
            write_bytes(self.path, kept.encode())


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def events(run: Path, kinds: Iterable[str]) -> list[dict[str, Any]]:
    """Read the log's events of the given kinds, in order."""
    wanted = set(kinds)
    return [row for row in read_jsonl(run / LOG_FILE) if row.get("event") in wanted]
