"""Is the run well? What goes wrong while training, said once, with the setting that mends it.

Takes the figures of steps and validations; tells findings, which `loop.py` writes into RUN/log.jsonl. `happened.py`
reads them there.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rojak.config.schema import TrainConfig
from rojak.errors import TrainingError

HIGH_GRAD_NORM = 10.0
LONG = 20
"""Steps over which something must hold before it is told."""
STUCK_RATIO = 0.98
"""A loss that has not come below this share of its start is not falling."""
RISING_RATIO = 1.5
"""A loss this far over its lowest running mean of the stage is rising."""
GAP_RATIO = 1.05
"""Validation loss over its lowest, while the training loss falls: overfitting."""
WIDE_GAP, WIDER = 2.0, 0.3
"""Validation loss over training loss from which the gap alone is told, when it also grew by so much since the first."""
WORSE_WER = (0.01, 1.10)
"""WER over its best, by so much and by this factor."""
TROUBLED_SHARE = 0.05
"""Share of decoded samples with runaways or repeats."""
STARVED_SHARE = 0.25
"""Share of the time in which the device waits for audio."""


@dataclass(frozen=True)
class Finding:
    """Something wrong, where, and what to change."""

    kind: str
    step: int
    message: str


@dataclass(frozen=True)
class _Validation:
    step: int
    wer: float | None
    loss: float | None
    train_loss: float


class Health:
    """Watches one run.

    Args:
        config: Of the run; remedies name its settings with their present values.
        total_steps: Of the whole run.
        tell: Takes each finding; every kind is told once a run.
    """

    def __init__(self, config: TrainConfig, total_steps: int, tell: Callable[[Finding], None]) -> None:
        self._config = config
        self._total = total_steps
        self._tell_user = tell
        self._told: set[str] = set()
        self._step = 0
        self._first: list[float] = []
        self._recent: deque[float] = deque(maxlen=LONG)
        self._waits: deque[tuple[float, float]] = deque(maxlen=LONG)
        self._high_norms = self._infinite_norms = 0
        self._stage, self._stage_begun = "", 0
        self._lowest_of_stage = math.inf
        self._validations: list[_Validation] = []
        self._troubled = {"runaway_rate": 0, "repeat_rate": 0, "empty_rate": 0}

    def replay(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take up what the log says of the run so far, so that a continued run tells nothing twice."""
        rows = list(rows)
        tell, self._tell_user = self._tell_user, lambda _: None
        for row in rows:
            if row.get("event") == "train":
                self.after_step(row["step"], row.get("stage", ""), row)
                if self._config.log_every_steps > 1:
                    # Too few rows for a running mean.
                    self._lowest_of_stage = min(self._lowest_of_stage, row["loss"])
            elif row.get("event") == "validation":
                self.after_validation(row["step"], row)
        self._tell_user = tell
        self._told = {row["kind"] for row in rows if row.get("event") == "health"}

    def after_step(self, step: int, stage: str, figures: Mapping[str, Any]) -> None:
        """Look at a step: `loss`, `grad_norm`, and, where known, `wait_s` and `step_s`.

        Raises:
            TrainingError: fp16 gradients have been infinite for so long that nothing is learnt.
        """
        self._step = step
        if stage != self._stage:  # stages differ in difficulty, so losses are compared within one
            self._stage, self._stage_begun, self._lowest_of_stage = stage, step - 1, math.inf
            self._recent.clear()
            self._first.clear()
        loss = float(figures["loss"])
        if len(self._first) < LONG // 2:
            self._first.append(loss)
        self._recent.append(loss)
        self._look_at_gradient(float(figures["grad_norm"]))
        self._look_at_loss()
        self._look_at_schedule()
        if "wait_s" in figures:
            self._waits.append((float(figures["wait_s"]), float(figures["step_s"])))
            self._look_at_waiting()

    def after_validation(self, step: int, figures: Mapping[str, Any]) -> None:
        """Look at a validation: `wer`, `validation_loss`, and the rates of runaways, repeats and empty outputs."""
        self._step = step
        train_loss = sum(self._recent) / len(self._recent) if self._recent else math.nan
        self._validations.append(_Validation(step, figures.get("wer"), figures.get("validation_loss"), train_loss))
        self._look_for_overfitting()
        self._look_for_worse_words()
        self._look_at_samples(figures)

    def out_of_memory(self, step: int, parts: int) -> None:
        """Note that micro-batches are cut into `parts` from this step on; told the first time only."""
        self._step = step
        seconds = (self._config.windows.max_batch_seconds or self._config.batch_size * 30) / parts
        self._tell(
            "out_of_memory",
            f"memory ran out, so each micro-batch is now computed in {parts} parts: accumulation is doubled, the "
            f"global batch and the result stay; windows.max_batch_seconds: {seconds:g} makes it so from the start.",
        )

    def _tell(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell_user(Finding(kind, self._step, message))

    def _look_at_gradient(self, norm: float) -> None:
        finite = math.isfinite(norm)
        self._infinite_norms = 0 if finite else self._infinite_norms + 1
        if self._infinite_norms >= LONG:
            raise TrainingError(
                f"The fp16 gradients have been infinite for {LONG} steps, up to step {self._step}, and nothing is "
                f"learnt; set precision: bf16 (fp32 on cards without it) or {self._lower_rate()}."
            )
        self._high_norms = self._high_norms + 1 if finite and norm > HIGH_GRAD_NORM else 0
        if self._high_norms == LONG:
            self._tell(
                "gradient_norm",
                f"the gradient norm has been over {HIGH_GRAD_NORM:g} for {LONG} steps (now {norm:.0f}); try "
                f"{self._lower_rate()} or a longer optimizer.warmup_ratio (now {self._warmup_ratio:g}).",
            )

    def _look_at_loss(self) -> None:
        if len(self._recent) < LONG:
            return
        now = sum(self._recent) / len(self._recent)
        self._lowest_of_stage = min(self._lowest_of_stage, now)
        start = sum(self._first) / len(self._first)
        warm = self._step >= self._warmup_steps + 2 * LONG
        late = warm and self._step - self._stage_begun >= max(3 * LONG, self._total // 5)
        rate = self._config.learning_rate
        if late and self._lowest_of_stage > STUCK_RATIO * start:
            self._tell(
                "loss_not_falling",
                f"the loss is not falling ({start:.2f} when stage {self._stage} began, {now:.2f} now); try "
                f"learning_rate: {3 * rate:.1g} (now {rate:g}; `rojak lr-find` measures it), and see with "
                "`rojak inspect` whether transcripts belong to their recordings.",
            )
        if now > RISING_RATIO * self._lowest_of_stage and now > self._lowest_of_stage + 0.1:
            self._tell(
                "loss_rising",
                f"the loss rises ({self._lowest_of_stage:.2f} at its lowest in this stage, {now:.2f} now): the run "
                f"diverges; try {self._lower_rate()}.",
            )

    def _lower_rate(self) -> str:
        rate = self._config.learning_rate
        return f"learning_rate: {rate / 3:.1g} (now {rate:g})"

    @property
    def _warmup_ratio(self) -> float:
        return self._config.optimizer.warmup_ratio

    @property
    def _warmup_steps(self) -> int:
        return round(self._warmup_ratio * self._total)

    def _look_at_schedule(self) -> None:
        if self._warmup_steps > self._total / 2:
            self._tell(
                "warmup",
                f"the learning rate warms up for {self._warmup_steps} of {self._total} steps and is hardly ever at its "
                f"peak; set optimizer.warmup_ratio: 0.05 (now {self._warmup_ratio:g}).",
            )

    def end(self, step: int) -> None:
        """Look at the run as a whole, when its last step was taken or it was stopped early."""
        self._step = step
        if 0 < step <= self._warmup_steps:
            self._tell(
                "warmup",
                f"the run ended at step {step} and the learning rate never left its warm-up of {self._warmup_steps} "
                f"steps; set optimizer.warmup_ratio: 0.05 (now {self._warmup_ratio:g}) or train longer.",
            )

    def _look_at_waiting(self) -> None:
        if len(self._waits) < LONG:
            return
        waited, whole = (sum(column) for column in zip(*self._waits, strict=True))
        cores, workers = os.cpu_count() or 1, self._config.loader_workers
        if waited > STARVED_SHARE * whole and workers < cores:
            self._tell(
                "starved",
                f"the device waits for audio {waited / whole:.0%} of the time; set loader_workers: "
                f"{min(cores, max(2, 2 * workers))} (now {workers}; this machine has {cores} cores).",
            )

    def _look_for_overfitting(self) -> None:
        known = [v for v in self._validations if v.loss is not None and math.isfinite(v.train_loss)]
        if not known:
            return
        best = min(known, key=_loss)
        since = [v for v in known if v.step > best.step]
        less = "fewer num_epochs, a higher lora_dropout, a smaller lora_r, or some augment in the stages"
        rises = len(since) >= 2 and all(_loss(v) > GAP_RATIO * _loss(best) for v in since[-2:])
        if rises and since[-1].train_loss < best.train_loss:
            self._tell(
                "overfitting",
                f"the run overfits: the validation loss was lowest at step {best.step} ({_loss(best):.2f}) and is "
                f"{_loss(since[-1]):.2f} now, while the training loss fell to {since[-1].train_loss:.2f}; best/ holds "
                f"the best model; try {less}.",
            )
        first, last = known[0], known[-1]
        # A gap from the first validation on is that of the splits, or of an easy first stage, and no overfitting.
        limit = _loss(first) - first.train_loss + WIDER
        wide = [_loss(v) > WIDE_GAP * v.train_loss and _loss(v) - v.train_loss > limit for v in known[-2:]]
        if len(wide) == 2 and all(wide):
            self._tell(
                "train_validation_gap",
                f"the validation loss ({_loss(last):.2f}) falls behind the training loss ({last.train_loss:.2f}); try "
                f"{less}.",
            )

    def _look_for_worse_words(self) -> None:
        known = [v for v in self._validations if v.wer is not None]
        if not known:
            return
        best = min(known, key=_wer)
        since = [v for v in known if v.step > best.step]
        margin, factor = WORSE_WER
        worse = [_wer(v) > max(_wer(best) + margin, factor * _wer(best)) for v in since[-2:]]
        if len(worse) == 2 and all(worse) and since[-1].train_loss < best.train_loss:
            self._tell(
                "wer_rising",
                f"WER rises while the loss falls: {_wer(best):.1%} at step {best.step}, {_wer(since[-1]):.1%} now; "
                "best/ holds the best model; look at the decoded samples (`rojak watch`), then try fewer num_epochs, "
                f"{self._lower_rate()}, or a validation.context like that of windows.mode.",
            )

    def _look_at_samples(self, figures: Mapping[str, Any]) -> None:
        remedies = {
            "runaway_rate": ("run away (more errors than words)", self._lower_rate()),
            "repeat_rate": ("repeat themselves", "more num_epochs, and look for repeats in the training transcripts"),
            "empty_rate": ("are empty", "a look at empty and very short training transcripts with `rojak inspect`"),
        }
        for name, (what, remedy) in remedies.items():
            share = figures.get(name) or 0.0
            self._troubled[name] = self._troubled[name] + 1 if share > TROUBLED_SHARE else 0
            if self._troubled[name] == 2:
                self._tell(
                    name,
                    f"{share:.0%} of the decoded samples {what}; try {remedy}, and let validation.context be trim only "
                    f"where windows.mode (now {self._config.windows.mode}) trains trimmed audio.",
                )


def _loss(validation: _Validation) -> float:
    assert validation.loss is not None
    return validation.loss


def _wer(validation: _Validation) -> float:
    assert validation.wer is not None
    return validation.wer


def not_finite(what: str, value: float, step: int, audio_ids: tuple[str, ...]) -> str:
    """Say that a loss or gradient became NaN or infinite, on which clips, and what to try."""
    shown = ", ".join(audio_ids[:32]) + (f" and {len(audio_ids) - 32} more" if len(audio_ids) > 32 else "")
    return (
        f"The {what} became {value} at step {step}, on the clips {shown}; look at these recordings, "
        "then try a lower learning_rate, a lower optimizer.max_grad_norm, or precision: fp32."
    )
