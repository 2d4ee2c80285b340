"""The settings of training, each through the real loop on a tiny model."""

import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training import SMALL_LORA, run_config

from rojak.config.schema import AugmentConfig, TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import ConfigError, InputError, TrainingError
from rojak.evaluate.metrics import METRICS
from rojak.features.windows import GRID_S, Clip, Window
from rojak.model.adapters import load_any
from rojak.model.shapes import trained_parameters
from rojak.model.whisper import encode_audio, token_losses
from rojak.runs import read_jsonl
from rojak.train.batch import BatchBuilder
from rojak.train.build import memory_line, optimizer_bytes
from rojak.train.loop import Trainer, train

SETTINGS = {
    **SMALL_LORA,
    "batch_size": 4,
    "windows": {"mode": "trim"},
    "stages": [{"name": "all", "max_steps": 2}],
    "validation": {"every_steps": 1, "max_utterances": 4, "max_new_tokens": 4},
}


config = partial(run_config, SETTINGS)


def events(run: Path, kind: str) -> list[dict]:
    return [row for row in read_jsonl(run / "log.jsonl") if row["event"] == kind]


def test_a_frozen_encoder_stays_as_it_was(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    settings = config(tiny_dir, data_dir, tmp_path / "run", adapter="none", freeze_encoder=True)
    train(settings)
    before, after = load_file(tiny_dir / "model.safetensors"), load_file(tmp_path / "run/best/model.safetensors")
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    encoder = {name for name in before if name.startswith("model.encoder.")}
    assert encoder and encoder <= same
    assert all("encoder_attn" not in name and "self_attn" not in name for name in same - encoder)
    counted = sum(value.numel() for name, value in after.items() if name not in encoder)
    assert trained_parameters(load_any(str(tiny_dir)).network.config, settings) == counted
    with pytest.raises(ValueError, match="lora_scope: decoder"):
        config(tiny_dir, data_dir, tmp_path / "run", freeze_encoder=True)


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
    changes["validation"] = validation | {"patience": 4}
    assert train(config(tiny_dir, data_dir, tmp_path / "run", **changes), allow_change=True).steps == 5


def test_a_metric_that_the_sample_cannot_measure_stops_the_run_at_once(
    tiny_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    validation = SETTINGS["validation"] | {"metric": "pier", "max_utterances": 1}  # type: ignore[operator]
    utterances = Dataset(data_dir, ("validation",)).utterances
    seed = next(
        seed
        for seed in range(100)
        if utterances[np.random.default_rng(seed).permutation(len(utterances))[0]].language != "mixed"
    )
    with pytest.raises(TrainingError, match=r"None of the 1 validation utterances .* pier"):
        train(config(tiny_dir, data_dir, tmp_path / "run", validation=validation, seed=seed))
    assert len(events(tmp_path / "run", "validation")) == 1


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


def test_qlora_learns_on_a_cpu_and_leaves_its_4_bit_base_alone(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes", reason="QLoRA needs bitsandbytes: pip install 'rojak[gpu]'")
    from bitsandbytes.nn import Linear4bit

    bases: list[list[torch.Tensor]] = []

    def look(self: Trainer) -> list[torch.Tensor]:
        layers = [module for module in self.model.modules() if isinstance(module, Linear4bit)]
        assert len(layers) == 2 * 6 + 10, "every linear layer but the output's, which is the embedding"
        assert all(layer.weight.dtype == torch.uint8 and layer.weight.quant_type == "nf4" for layer in layers)
        assert all(layer.weight.quant_state.nested for layer in layers), "double quantisation"
        return [layer.weight.detach().clone() for layer in layers]

    run_to_end = Trainer.run_to_end

    def run(self: Trainer, *arguments: object) -> object:
        bases.append(look(self))
        result = run_to_end(self, *arguments)  # type: ignore[arg-type]
        bases.append(look(self))
        return result

    monkeypatch.setattr(Trainer, "run_to_end", run)
    stages = [{"name": "all", "max_steps": 12}]
    validation = {"every_steps": 12, "max_utterances": 2, "max_new_tokens": 4}
    changes = {"use_4bit": True, "stages": stages, "validation": validation, "learning_rate": 2e-2, "lora_r": 8}
    train(config(tiny_dir, data_dir, tmp_path / "run", **changes))
    assert all(torch.equal(before, after) for before, after in zip(*bases, strict=True))
    losses = [row["loss"] for row in events(tmp_path / "run", "train")]
    assert sum(losses[-3:]) / 3 < losses[0] - 0.1
    best = tmp_path / "run" / "best"
    tensors = load_file(best / "adapter_model.safetensors")
    assert tensors
    assert all("lora_" in name for name in tensors)
    assert load_any(str(tmp_path / "run")).network.dtype == torch.float32


def test_guard_sets_are_shown_beside_the_base_and_stop_a_run_that_forgets(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    durations = sorted(utterance.duration for utterance in Dataset(data_dir, ("validation",)).utterances)
    shown = {"name": "short", "select": f"duration <= {durations[len(durations) // 2]}"}
    guards = [shown, {"name": "all", "max_rise": 0.05}]
    validation = {"every_steps": 2, "max_utterances": 2, "max_new_tokens": 4, "guards": guards}
    changes = {"adapter": "none", "stages": [{"name": "all", "max_steps": 6}]}
    # A rate that ruins any model.
    with pytest.raises(
        TrainingError, match=r"Stopped by its guard sets at step 2: all rose by \d+\.\d+ over the base"
    ) as told:
        train(config(tiny_dir, data_dir, run, validation=validation, learning_rate=1.0, **changes))
    assert "short" not in str(told.value), "it is only shown"
    base = events(run, "guards")[0]
    assert base["step"] == 0
    row = events(run, "validation")[0]
    assert row["guard_all"] > base["all"] + 0.05
    assert row["guard_short"] > 0
    assert f"guard all {row['guard_all']:.3f} (base {base['all']:.3f})" in capfd.readouterr().err
    assert (run / "checkpoints" / "step-00000002").is_dir()

    good = tmp_path / "good"
    train(config(tiny_dir, data_dir, good, validation=validation, learning_rate=2e-3, **changes))
    assert events(good, "guards")[0]["all"] == pytest.approx(base["all"], rel=1e-5)
    more = validation | {"guards": [*guards, {"name": "late"}]}
    with pytest.raises(ConfigError, match="began without the guard late"):
        train(config(tiny_dir, data_dir, good, validation=more, learning_rate=2e-3, **changes), allow_change=True)
    rows = events(good, "validation")
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert rows[-1]["guard_all"] < base["all"]


def test_a_guard_s_loss_is_that_of_the_untrained_model(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    """Computed here clip by clip, nothing padded, from the model as it lies on disk."""
    guards = [{"name": "all"}]
    train(config(tiny_dir, data_dir, tmp_path / "run", validation={"every_steps": 2, "guards": guards}))
    whisper, data = load_any(str(tiny_dir)), Dataset(data_dir, ("validation",))
    builder = BatchBuilder(data, whisper.tokens, config(tiny_dir, data_dir, tmp_path))
    total = tokens = 0.0
    for index, utterance in enumerate(data.utterances):
        length_s = math.ceil(round(utterance.duration / GRID_S, 6)) * GRID_S
        batch = builder.build([Window((Clip(index, utterance.duration, "", 0),), length_s)], AugmentConfig(), 0)
        with torch.no_grad():
            encoded = encode_audio(whisper.network.eval(), whisper.log_mel()(batch.waveforms))
            losses = token_losses(whisper.network, encoded, batch.inputs, batch.labels)
        total, tokens = total + losses.sum().item(), tokens + len(losses)
    base = events(tmp_path / "run", "guards")[0]["all"]
    assert base == pytest.approx(total / tokens, rel=2e-2)
