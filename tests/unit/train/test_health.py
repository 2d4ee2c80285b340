"""Every trouble is provoked and told once, with a setting to change in its remedy; healthy runs are quiet."""

import math

import pytest

from rojak.config.schema import TrainConfig
from rojak.errors import TrainingError
from rojak.train.happened import what_happened
from rojak.train.health import LONG, Finding, Health

TOTAL = 1000


class Watched:
    """A Health whose findings are kept, driven by made figures."""

    def __init__(self, **settings: object) -> None:
        config = TrainConfig.model_validate({"dataset_path": "d", "output_dir": "r"} | settings)
        self.found: list[Finding] = []
        self.health = Health(config, TOTAL, self.found.append)
        self.step = 0

    def steps(self, *losses: float, grad_norm: float = 1.0, stage: str = "all", **figures: float) -> None:
        for loss in losses:
            self.step += 1
            self.health.after_step(self.step, stage, {"loss": loss, "grad_norm": grad_norm, **figures})

    def validation(self, **figures: float) -> None:
        self.health.after_validation(self.step, figures)

    def kinds(self) -> list[str]:
        return [finding.kind for finding in self.found]


def falling(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * i / (count - 1) for i in range(count)]


def test_a_healthy_run_is_quiet() -> None:
    run = Watched()
    for part in range(5):
        run.steps(*falling(3.0 / (part + 1), 3.0 / (part + 2), 200), wait_s=0.01, step_s=1.0, stage=str(part // 3))
        run.validation(wer=0.5 / (part + 1), validation_loss=3.2 / (part + 2), runaway_rate=0.0)
    run.health.end(TOTAL)
    assert run.found == []


def test_high_gradient_norms_are_told_once_after_a_while() -> None:
    run = Watched(learning_rate=3e-4)
    run.steps(*falling(3, 2, LONG - 1), grad_norm=40.0)
    run.steps(2.0)
    assert run.found == []
    run.steps(*falling(2, 1, 3 * LONG), grad_norm=40.0)
    assert run.kinds() == ["gradient_norm"]
    assert run.found[0].step == 2 * LONG
    assert "learning_rate: 0.0001 (now 0.0003)" in run.found[0].message


def test_gradients_infinite_for_long_stop_the_run() -> None:
    run = Watched()
    run.steps(*[2.0] * (LONG - 1), grad_norm=math.inf)
    with pytest.raises(TrainingError, match="precision: bf16"):
        run.steps(2.0, grad_norm=math.inf)


def test_a_loss_that_does_not_fall() -> None:
    run = Watched(learning_rate=1e-7)
    run.steps(*[2.0, 2.02] * 99)
    assert run.found == []  # a fifth of the run has not gone by
    run.steps(*[2.0, 2.02] * 5)
    assert run.kinds() == ["loss_not_falling"]
    assert "learning_rate: 3e-07 (now 1e-07" in run.found[0].message


def test_a_stage_that_is_harder_than_an_easy_start_is_not_stuck() -> None:
    run = Watched()
    run.steps(*[0.2] * 10, stage="clean")
    run.steps(*falling(0.9, 0.4, 400), stage="noisy")
    assert run.found == []
    run.steps(*[0.9] * 210, stage="street")
    assert run.kinds() == ["loss_not_falling"]
    assert "0.90 when stage street began" in run.found[0].message


def test_a_loss_that_rises_within_a_stage() -> None:
    run = Watched()
    run.steps(*falling(3, 1, 100))
    run.steps(*[2.5] * 40, stage="noisy")
    assert run.found == []  # harder data are no divergence
    run.steps(*falling(2.5, 6, 60), stage="noisy")
    assert run.kinds() == ["loss_rising"]


def test_overfitting() -> None:
    run = Watched(adapter="none")
    for train_loss, validation_loss in ((2.0, 2.2), (1.5, 1.8), (1.2, 1.95), (1.0, 2.0)):
        run.steps(*[train_loss] * LONG)
        run.validation(validation_loss=validation_loss)
    assert run.kinds() == ["overfitting"]
    assert "lowest at step 40 (1.80)" in run.found[0].message
    assert "num_epochs" in run.found[0].message


def test_a_gap_that_widens_without_a_rise() -> None:
    run = Watched()
    for train_loss, validation_loss in ((2.0, 3.0), (1.0, 2.6), (0.9, 2.5)):
        run.steps(*[train_loss] * LONG)
        run.validation(validation_loss=validation_loss)
    assert run.kinds() == ["train_validation_gap"]
    easy_stage = Watched()
    for train_loss in (1.4, 1.3, 1.2):
        easy_stage.steps(*[train_loss] * LONG)
        easy_stage.validation(validation_loss=train_loss + 3.0)
    assert easy_stage.found == []


def test_wer_rising_while_the_loss_falls() -> None:
    run = Watched()
    for train_loss, wer in ((2.0, 0.50), (1.5, 0.30), (1.2, 0.36)):
        run.steps(*[train_loss] * LONG)
        run.validation(wer=wer, validation_loss=train_loss)
    assert run.found == []
    run.steps(*[1.0] * LONG)
    run.validation(wer=0.38, validation_loss=1.0)
    assert run.kinds() == ["wer_rising"]
    assert "30.0% at step 40" in run.found[0].message


@pytest.mark.parametrize("name", ["runaway_rate", "repeat_rate", "empty_rate"])
def test_troubled_samples_in_two_validations(name: str) -> None:
    run = Watched()
    for share in (0.5, 0.0, 0.2):
        run.validation(**{name: share})
    assert run.found == []
    run.validation(**{name: 0.1})
    assert run.kinds() == [name]
    assert "10% of the decoded samples" in run.found[0].message


def test_a_rate_that_never_leaves_warmup() -> None:
    run = Watched(optimizer={"warmup_ratio": 0.9})
    run.steps(2.0)
    assert run.kinds() == ["warmup"]
    stopped_early = Watched(optimizer={"warmup_ratio": 0.1})
    stopped_early.steps(*falling(3, 2, 80))
    stopped_early.health.end(80)
    assert stopped_early.kinds() == ["warmup"]
    assert "optimizer.warmup_ratio: 0.05 (now 0.1)" in stopped_early.found[0].message


def test_a_starved_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    run = Watched(loader_workers=3)
    run.steps(*falling(3, 2, 30), wait_s=0.4, step_s=1.0)
    assert run.kinds() == ["starved"]
    assert "40% of the time; set loader_workers: 6 (now 3; this machine has 16 cores)" in run.found[0].message


def test_memory_is_told_once_with_the_setting_that_avoids_it() -> None:
    run = Watched(batch_size=16)
    run.health.out_of_memory(1, 2)
    run.health.out_of_memory(1, 4)
    assert run.kinds() == ["out_of_memory"]
    assert "windows.max_batch_seconds: 240" in run.found[0].message


def test_a_continued_run_repeats_nothing_and_remembers() -> None:
    first = Watched()
    first.validation(runaway_rate=0.5)
    rows = [
        {"event": "validation", "step": 1, "runaway_rate": 0.5},
        {"event": "health", "step": 1, "kind": "out_of_memory", "message": "m"},
    ]
    run = Watched()
    run.health.replay(rows)
    run.health.out_of_memory(2, 2)
    assert run.found == []
    run.validation(runaway_rate=0.5)
    assert run.kinds() == ["runaway_rate"]


def test_a_continued_run_whose_next_stage_is_harder_is_not_stuck() -> None:
    """The log holds every 50th step only."""
    row = {"event": "train", "step": 50, "stage": "clean", "loss": 0.2, "grad_norm": 1.0}
    run = Watched(log_every_steps=50)
    run.health.replay([row])
    run.step = 50
    run.steps(*[0.3] * 20, stage="clean")
    run.steps(*falling(0.8, 0.6, 300), stage="noisy")
    assert run.found == []
    stuck = Watched(log_every_steps=50)
    stuck.health.replay([row | {"loss": 0.8}])
    stuck.step = 50
    stuck.steps(*[0.8] * 300, stage="clean")
    assert stuck.kinds() == ["loss_not_falling"]


def test_what_happened_tells_ending_learning_and_findings() -> None:
    def train(step: int, loss: float) -> dict:
        return {"event": "train", "step": step, "stage": "all", "loss": loss, "audio_s_per_s": 100.0}

    rows = [
        {"event": "start", "step": 0, "total_steps": 40},
        train(10, 3.0),
        {"event": "validation", "step": 10, "wer": 0.5},
        {"event": "health", "step": 15, "kind": "warmup", "message": "set optimizer.warmup_ratio: 0.05."},
        train(20, 1.0),
        {"event": "validation", "step": 20, "wer": 0.4},
        {"event": "failed", "step": 20, "message": "The loss became nan."},
    ]
    assert what_happened(rows) == [
        "It failed after step 20: The loss became nan.",
        "20 of 40 steps were taken (stage all), at 100 seconds of audio a second.",
        "The training loss of stage all fell from 3.00 to 1.00.",
        "Validation WER was 50.0% at step 10, at its best 40.0% at step 20, and 40.0% at the last validation.",
        "Step 15: set optimizer.warmup_ratio: 0.05.",
    ]
    assert what_happened(rows[:2])[-1] == "Nothing unusual was seen."
    assert what_happened([]) == ["No step was logged."]


def test_what_happened_names_short_stages_and_compares_losses_within_the_last() -> None:
    def train(step: int, loss: float) -> dict:
        return {"event": "train", "step": step, "stage": "noisy", "loss": loss, "audio_s_per_s": 100.0}

    rows = [
        {"event": "stage", "step": 0, "stage": "clean"},
        {"event": "stage", "step": 2, "stage": "switched"},
        {"event": "train", "step": 4, "stage": "switched", "loss": 0.2, "audio_s_per_s": 100.0},
        {"event": "stage", "step": 5, "stage": "noisy"},
        train(10, 0.9),
        train(20, 0.4),
    ]
    lines = what_happened(rows)
    assert "(stages clean, switched, noisy)" in lines[0]
    assert lines[1] == "The training loss of stage noisy fell from 0.90 to 0.40."
