"""The settings of training, each through the real loop on a tiny model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import ConfigError, InputError, TrainingError
from rojak.evaluate.metrics import METRICS
from rojak.runs import read_jsonl
from rojak.train.build import memory_line, optimizer_bytes
from rojak.train.loop import Trainer, train

SETTINGS = {
    "batch_size": 4,
    "learning_rate": 2e-3,
    "lora_r": 4,
    "lora_alpha": 8,
    "lora_dropout": 0.0,
    "windows": {"mode": "trim"},
    "stages": [{"name": "all", "max_steps": 2}],
    "validation": {"every_steps": 1, "max_utterances": 4, "max_new_tokens": 4},
    "log_every_steps": 1,
    "tensorboard": False,
    "precision": "fp32",
}


def config(tiny_dir: Path, data_dir: Path, run: Path, **changes: object) -> TrainConfig:
    paths = {"model_name": str(tiny_dir), "dataset_path": str(data_dir), "output_dir": str(run)}
    return TrainConfig.model_validate(SETTINGS | paths | changes)


def events(run: Path, kind: str) -> list[dict]:
    return [row for row in read_jsonl(run / "log.jsonl") if row["event"] == kind]


def test_the_printed_memory_is_true(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    settings = config(tiny_dir, data_dir, tmp_path / "run", use_dora=True, lora_scope="encoder")
    trainer = Trainer(settings, tmp_path / "run", Dataset(data_dir, ("train",)))
    assert all("encoder" in name for name in trainer.parameters)
    assert any("magnitude" in name for name in trainer.parameters)
    for parameter in trainer.parameters.values():
        parameter.grad = torch.ones_like(parameter)
    trainer.optimizer.step()
    held = sum(
        value.numel() * value.element_size()
        for state in trainer.optimizer.state.values()
        for key, value in state.items()
        if key != "step"
    )
    assert held == sum(optimizer_bytes(p, "adamw") for p in trainer.parameters.values())
    weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    assert f"weights {weights / 2**20:.1f} MiB" in memory_line(trainer.model, settings)
    assert f"optimiser {held / 2**20:.1f} MiB" in memory_line(trainer.model, settings)


def test_a_guard_that_selects_nothing_is_refused(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    guards = [{"name": "none", "select": "duration > 1000"}]
    with pytest.raises(ConfigError, match="Guard none selects"):
        train(config(tiny_dir, data_dir, tmp_path / "run", validation={"guards": guards}))


def test_it_ends_early_when_nothing_gets_better(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    validation = SETTINGS["validation"] | {"patience": 2, "metric": "empty_rate", "min_improvement": 2.0}  # type: ignore[operator]
    changes = {"stages": [{"name": "all", "max_steps": 9}], "validation": validation}
    summary = train(config(tiny_dir, data_dir, tmp_path / "run", **changes))
    assert summary.steps == 3
    assert train(config(tiny_dir, data_dir, tmp_path / "run", **changes)).steps == 3


def test_every_metric_that_can_choose_is_measured() -> None:
    field = TrainConfig.model_fields["validation"].annotation.model_fields["metric"]  # type: ignore[union-attr]
    for name in field.annotation.__args__:  # type: ignore[union-attr]
        assert METRICS[name].better != "neither"


def test_a_first_run_takes_some_hours_and_hands_its_model_over(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "given" / "model"
    changes = {"max_hours": 0.005, "stages": [{"name": "all"}], "num_epochs": 1, "push_to": str(target)}
    windows = {"mode": "trim", "nonspeech_share": 0.3, "previous_text_share": 0.5}
    train(config(tiny_dir, data_dir, tmp_path / "run", windows=windows, **changes))
    rows = events(tmp_path / "run", "train")
    assert 0 < sum(row["audio_s"] for row in rows) <= 18.0
    assert {"tokens_per_s", "memory_gib", "padding_share", "flops"} <= rows[0].keys()
    assert (target / "adapter_model.safetensors").is_file()
    card = (target / "README.md").read_text()
    assert "A LoRA adapter" in card and "library_name: peft" in card and "WER" in card


def test_a_disk_too_small_is_told_before_the_first_step(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"need up to .* GB and .* has 0\.00 GB free"):
        train(config(tiny_dir, data_dir, tmp_path / "run"))
    assert not events(tmp_path / "run", "train")


def test_nan_in_a_recording_stops_and_names_it(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Dataset.read_audio
    bad = Dataset(data_dir, ("train",)).utterances[0].audio_id

    def poisoned(self: Dataset, index: int) -> np.ndarray:
        samples = read(self, index).copy()
        if self.utterances[index].audio_id == bad:
            samples[100] = np.nan
        return samples

    monkeypatch.setattr(Dataset, "read_audio", poisoned)
    with pytest.raises(TrainingError, match=rf"The loss became nan at step \d+, on the clips .*{bad}"):
        train(config(tiny_dir, data_dir, tmp_path / "run", stages=[{"name": "all", "num_epochs": 1}]))
