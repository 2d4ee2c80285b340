"""Sums hold against published and counted figures; cards that are too small get a way to fit."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import WhisperConfig, WhisperForConditionalGeneration

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import ConfigError, InputError
from rojak.features.windows import Clip, Window
from rojak.model.adapters import target_modules
from rojak.model.shapes import SIZES, total_parameters, trained_parameters, whisper_shape
from rojak.train.calibrate import _fit, calibrate
from rojak.train.costs import Load, activation_bytes, load_flops, peak_bytes
from rojak.train.estimate import GPUS_PATH, estimate, read_gpus
from rojak.train.workload import plan_curriculum, plan_workload, read_data

PUBLISHED = {
    "tiny": 37_760_640, "base": 72_593_920, "small": 241_734_912, "medium": 763_857_920,
    "large-v2": 1_543_304_960, "large-v3": 1_543_490_560, "large-v3-turbo": 808_878_080,
}  # fmt: skip
"""Parameters of OpenAI's checkpoints as transformers counts them."""


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate({"dataset_path": "d", "output_dir": "r"} | settings)


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameters_of_the_known_sizes(size: str) -> None:
    assert total_parameters(whisper_shape(f"openai/whisper-{size}")) == PUBLISHED[size]


def test_adapter_of_large_v3_and_an_unknown_name() -> None:
    shape = whisper_shape("someone/whisper-large-v3")
    assert trained_parameters(shape, config(lora_r=64)) == pytest.approx(115.3e6, rel=0.001)
    halves = [trained_parameters(shape, config(lora_r=64, lora_scope=half)) for half in ("encoder", "decoder")]
    assert sum(halves) == trained_parameters(shape, config(lora_r=64)) and all(halves)
    with pytest.raises(InputError, match="openai/whisper-tiny"):
        whisper_shape("someone/else")
    assert set(PUBLISHED) <= set(SIZES)


@pytest.mark.parametrize("scope", ["all", "encoder", "decoder"])
def test_counts_and_kept_bytes_hold_on_a_model(scope: str) -> None:
    """Parameters exactly; kept bytes within a fifth, but that in 32 bits a decoder's adapters share what they read."""
    settings = config(lora_r=4, lora_dropout=0.0, lora_scope=scope)
    size = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2}
    shape = WhisperConfig(vocab_size=500, **size, **heads, **tokens)
    network = WhisperForConditionalGeneration(shape)
    assert total_parameters(shape) == sum(p.numel() for p in network.parameters())
    adapter = LoraConfig(r=4, lora_dropout=0.0, target_modules=target_modules(settings))
    model = get_peft_model(network, adapter)
    assert trained_parameters(shape, settings) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    from rojak.model.whisper import encode_audio, token_losses

    network.set_attn_implementation("sdpa")
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    load = Load(windows=4, positions=200, tokens=20, labels=80)
    inputs = torch.randint(100, (4, 20))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        encoded = encode_audio(network, torch.randn(4, 80, 400))
        losses = token_losses(network, encoded, inputs, inputs)
    assert len(losses) == 80
    told = activation_bytes(shape, settings, load, number_bytes=4)
    assert (0.6 if scope == "decoder" else 0.8) * told < sum(kept.values()) < 1.2 * told


def test_operations_of_large_v3() -> None:
    """About 6 TFLOP a 30-s window with an adapter, and more with its rank, checkpointing or every weight trained."""
    shape, load = whisper_shape("openai/whisper-large-v3"), Load(1, 1500, 100, 100)
    plain = load_flops(shape, config(lora_r=8), load)
    assert plain == pytest.approx(6e12, rel=0.1)
    assert load_flops(shape, config(lora_r=128), load) > 1.1 * plain
    assert load_flops(shape, config(lora_r=8, gradient_checkpointing="on"), load) == pytest.approx(1.5 * plain)
    assert load_flops(shape, config(adapter="none"), load) > 1.4 * plain
    assert load_flops(shape, config(adapter="none", freeze_encoder=True), load) < 0.8 * plain


def test_memory_falls_with_4_bits_checkpointing_and_smaller_batches() -> None:
    shape, load = whisper_shape("openai/whisper-large-v3"), Load(4, 1500, 100, 400)
    whole = peak_bytes(shape, config(), load)
    assert whole - peak_bytes(shape, config(use_4bit=True), load) == pytest.approx(1.5 * 1.41e9, rel=0.1)
    assert peak_bytes(shape, config(gradient_checkpointing="on"), load) < 0.5 * whole
    assert load.shrunk(0.5) == Load(2, 1500, 100, 200)
    assert peak_bytes(shape, config(), load.shrunk(0.5)) < whole


def test_a_load_is_read_off_planned_windows() -> None:
    clips = [Clip(0, 2.0, "a", 10), Clip(1, 4.0, "a", 20)]
    load = Load.of([Window((clips[0],), 2.24), Window((clips[0], clips[1]), 6.08, timestamps=True)])
    assert load == Load(windows=2, positions=304, tokens=39, labels=54, speech_s=8.0)


def test_without_network_or_data_large_v3_is_estimated_in_every_variant() -> None:
    recipe = load_config(TrainConfig, Path(__file__).parents[3] / "configs" / "large-v3-lora.yaml")
    variants = estimate(recipe, read_data(recipe, hours=1.0), read_gpus())
    assert {(one.adapter, one.mode) for one in variants} == {
        (adapter, mode) for adapter in ("LoRA", "QLoRA") for mode in ("pad", "trim", "pack", "mixed")
    }
    first = variants[0]
    assert (first.adapter, first.mode, first.configured) == ("LoRA", "mixed", True)
    # The recipe's three stages take an epoch each; the second one's monolingual part is repeated to keep its share.
    assert first.speech_hours == pytest.approx(3.0, rel=0.1)
    padded = {one.mode: one.padded_hours for one in variants}
    assert padded["pad"] > 6 * padded["pack"] > 6 * 0.9 * first.speech_hours
    h200 = next(one for one in first.on_gpus if one.gpu == "H200")
    assert h200.hours is not None
    assert h200.cost == pytest.approx(h200.hours * read_gpus().gpus["H200"].price_per_hour)


def test_a_card_that_is_too_small_gets_a_way_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "gpus.yaml"
    card = "memory_gb: {}, peak_tflops: 65, utilisation: 0.3, price_per_hour: 1"
    path.write_text(f"currency: MYR\ngpus: {{Small: {{{card.format(8)}}}, Tiny: {{{card.format(1)}}}}}")
    recipe = config(model_name="openai/whisper-large-v3", gradient_checkpointing="off", windows={"mode": "pad"})
    small, tiny = estimate(recipe, read_data(recipe, hours=0.5), read_gpus(path))[0].on_gpus
    assert (small.fits, small.hours, small.cost) == (False, None, None)
    assert small.advice is not None
    assert small.advice.startswith("does not fit: use gradient_checkpointing: on")
    assert tiny.advice == "does not fit: use a smaller model_name or a larger card"


def test_the_plan_is_that_of_training(tiny_dir: Path, data_dir: Path) -> None:
    settings = config(model_name=str(tiny_dir), dataset_path=str(data_dir), batch_size=4, windows={"mode": "pad"})
    data = Dataset(data_dir, ("train",))
    curriculum = plan_curriculum(settings, data)
    work = plan_workload(curriculum)
    assert work.num_steps == 3 * -(-len(data) // 4)
    assert work.num_hours * 3600 == pytest.approx(3 * sum(u.duration for u in data.utterances), rel=0.1)
    assert {load.positions for step in work.sampled for load in step} == {1500}
    trimmed = settings.model_copy(update={"windows": settings.windows.model_copy(update={"mode": "trim"})})
    in_trim = curriculum.in_windows(trimmed.windows)
    assert plan_workload(in_trim) == plan_workload(plan_curriculum(trimmed, data))
    # Steps may be asked for in any order; each is the one that training takes.
    steps = list(in_trim.steps_from(0, 0))
    assert [in_trim.plan(step.stage, step.step_in_stage) for step in reversed(steps)] == steps[::-1]


def test_max_hours_is_heeded(data_dir: Path) -> None:
    some = config(dataset_path=str(data_dir), max_hours=0.01)
    assert sum(u.duration for u in read_data(some, None).utterances) <= 36.0
    assert sum(u.duration for u in read_data(config(max_hours=2.0), 500.0).utterances) <= 2.001 * 3600


def test_missing_data_and_bad_tables_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--hours 50"):
        read_data(config(dataset_path=str(tmp_path / "none")), None)
    path = tmp_path / "gpus.yaml"
    path.write_text("currency: USD\ngpus: {A: {memory_gb: much}}")
    with pytest.raises(ConfigError, match=r"gpus\.A\.memory_gb"):
        read_gpus(path)
    assert len(read_gpus(GPUS_PATH).gpus) == 9


def test_the_fit_finds_costs_and_never_a_negative_one() -> None:
    import numpy as np

    rows = np.array([[1.0, 5.0, 1.0], [2.0, 1.0, 1.0], [4.0, 2.0, 1.0], [8.0, 30.0, 1.0]])
    assert _fit(rows, rows @ np.array([0.3, 0.02, 0.1])) == pytest.approx([0.3, 0.02, 0.1])
    assert _fit(rows, rows @ np.array([0.3, -0.005, 0.1])).min() >= 0


def test_a_calibrated_machine_gets_hours_in_every_mode(tiny_dir: Path, data_dir: Path) -> None:
    settings = config(model_name=str(tiny_dir), dataset_path=str(data_dir), batch_size=2, lora_r=4, precision="fp32")
    data = Dataset(data_dir, ("train",))
    found = calibrate(settings, data)
    assert 0 <= min(found.coefficients) < max(found.coefficients)
    assert found.read_s_per_audio_s > 0
    assert all(measured > 0 for measured, _ in found.measured)
    variants = estimate(settings, data, read_gpus(), found)
    assert {one.adapter for one in variants if one.here_hours is None} == {"QLoRA"}  # 4 bits were not measured
    hours = {one.mode: one.here_hours for one in variants if one.adapter == "LoRA"}
    assert all(0 < value < 1 for value in hours.values() if value is not None)
    assert None not in hours.values()
