"""The targets of the design: for each one the value reached, its interval, and PASS, FAIL or "not measured"."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rojak.evaluate.results import Scores, Value

Verdict = Literal["PASS", "FAIL", "not measured"]

TRAINING_HOURS = "training_hours"
"""Key of `Scores.settings` that tells how long the training that the target means takes."""
_TRAINING_AUDIO_S = 3 * 50 * 3600.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a finished system reaches: a metric of the whole set, or of one part of it, below or above a limit."""

    name: str
    title: str
    metric: str
    limit: float
    side: Literal["<", ">"]
    part: tuple[str, str] | None = None
    """Slicing and part; None is the whole set."""
    unit: Literal["%", "h", ""] = "%"


TARGETS = (
    Target("wer", "WER", "wer", 0.15, "<"),
    Target("language", "Language of each word", "language_accuracy", 0.85, ">"),
    Target("particles", "Particle recall", "particle_recall", 0.80, ">"),
    Target("wer_noisy", "WER at 10–15 dB", "wer", 0.20, "<", ("added_snr", "10–15 dB")),
    Target("rtf", "Real-time factor", "rtf", 0.3, "<", unit=""),
    Target("training", "Training 3 × 50 h on an A100", TRAINING_HOURS, 12.0, "<", unit="h"),
)


@dataclass(frozen=True, slots=True)
class TargetResult:
    """A target and what one system reached.

    Attributes:
        target: The target.
        reached: The value with its interval and base; `value` None is "not measured".
        few: Whether too few utterances were measured for the verdict to mean much.
        verdict: PASS when the value is on the right side of the limit, whatever the interval says.
        certain: Whether the whole interval is on that side; None without an interval.
    """

    target: Target
    reached: Value
    few: bool
    verdict: Verdict
    certain: bool | None

    def to_json(self) -> dict[str, Any]:
        """Give the result as one flat object of JSON."""
        part = {"slice": dict([self.target.part])} if self.target.part else {}
        return {
            "name": self.target.name,
            "title": self.target.title,
            "limit": f"{self.target.side} {self.target.limit:g}",
            **part,
            **asdict(self.reached),
            "few": self.few,
            "verdict": self.verdict,
            "certain": self.certain,
        }


def training_hours(run_log: Sequence[dict[str, Any]]) -> float | None:
    """Give how long three passes over 50 hours take at a run's speed on one A100; None for a run anywhere else.

    Args:
        run_log: Events of RUN/log.jsonl.
    """
    starts = [row for row in run_log if row.get("event") == "start"]
    if not starts or any("A100" not in row.get("device", "") or row["processes"] != 1 for row in starts):
        return None
    speeds = sorted(row["audio_s_per_s"] for row in run_log if row.get("event") == "train")
    return _TRAINING_AUDIO_S / speeds[len(speeds) // 2] / 3600 if speeds else None


def check_targets(scores: Scores) -> list[TargetResult]:
    """Hold one system's results against every target."""
    return [_check(target, scores) for target in TARGETS]


def _check(target: Target, scores: Scores) -> TargetResult:
    nothing = Value(None, None, None, 0)
    few = False
    if target.metric == TRAINING_HOURS:
        hours = scores.settings.get(TRAINING_HOURS)
        reached = nothing if hours is None else Value(float(hours), None, None, 1)
    else:
        cell = scores.overall
        if target.part is not None:
            slicing, part = target.part
            found = scores.slices.get(slicing, {}).get(part)
            if found is None:
                return TargetResult(target, nothing, False, "not measured", None)
            cell = found
        reached, few = cell.metrics[target.metric], cell.few
    if reached.value is None:
        return TargetResult(target, reached, few, "not measured", None)
    verdict: Verdict = "PASS" if _meets(target, reached.value) else "FAIL"
    certain = None
    if reached.low is not None and reached.high is not None:
        certain = _meets(target, reached.low) == _meets(target, reached.high)
    return TargetResult(target, reached, few, verdict, certain)


def _meets(target: Target, value: float) -> bool:
    return value < target.limit if target.side == "<" else value > target.limit
