"""What a run will take before anything runs: memory, steps, hours and money, for each GPU of a table.

Reads a configuration, the records of its data, and `gpus.yaml` or a user's own; loads no model, downloads nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import WhisperConfig

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import ConfigError
from rojak.model.shapes import total_parameters, trained_parameters, whisper_shape
from rojak.runs import explain_os_error
from rojak.train.calibrate import Calibration
from rojak.train.costs import POSITIONS_PER_S, Load, activation_bytes, load_flops, peak_bytes
from rojak.train.workload import Mode, Workload, plan_curriculum, plan_workload

GPUS_PATH = Path(__file__).with_name("gpus.yaml")
LAYER_S = 0.0015
"""Seconds below which a GPU cannot do forward and backward of a layer, however small the micro-batch; assumed."""
QLORA_FACTOR = 1.1
"""How much longer a step takes when weights are unpacked from 4 bits; assumed."""
HEADROOM = 0.95
"""Share of a card's memory that may be planned for; the rest goes to fragmentation."""


class Gpu(BaseModel):
    """A card of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_gb: float = Field(gt=0)
    peak_tflops: float = Field(gt=0)
    utilisation: float = Field(gt=0, le=1)
    price_per_hour: float = Field(ge=0)


class GpuTable(BaseModel):
    """The file with prices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str
    gpus: dict[str, Gpu] = Field(min_length=1)


@dataclass(frozen=True)
class OnGpu:
    """A run on one card; without hours and cost where it does not fit."""

    gpu: str
    peak_gb: float
    fits: bool
    hours: float | None
    cost: float | None
    advice: str | None
    """What to change, or what Rojak will do by itself, to make it fit."""


@dataclass(frozen=True)
class Variant:
    """The configured run under one adapter and one windows mode."""

    adapter: str
    mode: Mode
    configured: bool
    trained_parameters: int
    total_parameters: int
    """With the adapter's."""
    num_steps: int
    speech_hours: float
    padded_hours: float
    pflop: float
    here_hours: float | None
    """On this machine, after `--calibrate`."""
    on_gpus: list[OnGpu]


def read_gpus(path: Path | None = None) -> GpuTable:
    """Read a table of GPUs; Rojak's own by default.

    Raises:
        ConfigError: It is malformed; says where and what is expected.
        InputError: It cannot be read.
    """
    path = path or GPUS_PATH
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML ({str(error).splitlines()[0]}); copy {GPUS_PATH}.") from None
    try:
        return GpuTable.model_validate(values)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg'].lower()}" for e in error.errors())
        raise ConfigError(f"{path}: {told}; {GPUS_PATH} shows how it is written.") from None


def estimate(
    config: TrainConfig, data: Dataset, table: GpuTable, calibration: Calibration | None = None
) -> list[Variant]:
    """Estimate the configured run and its variants: LoRA and QLoRA (or full fine-tuning), in every windows mode.

    Args:
        config: The run.
        data: Prepared data, or the stand-in of `read_data`.
        table: Cards and prices.
        calibration: What this machine was measured to do.

    Returns:
        The configured variant first.
    """
    shape = whisper_shape(config.model_name)
    own = _adapter(config)
    curriculum = plan_curriculum(config, data)
    variants = []
    for mode in get_args(Mode):
        in_mode = _with(config, windows=config.windows.model_copy(update={"mode": mode}))
        workload = plan_workload(curriculum.in_windows(in_mode.windows))
        for adapter in ("LoRA", "QLoRA") if config.adapter == "lora" else ("full",):
            variant = _with(in_mode, use_4bit=adapter == "QLoRA")
            configured = mode == config.windows.mode and adapter == own
            variants.append(_variant(variant, configured, shape, workload, table, calibration))
    return sorted(variants, key=lambda variant: not variant.configured)


def _with(config: TrainConfig, **changes: Any) -> TrainConfig:
    return config.model_copy(update=changes)


def _adapter(config: TrainConfig) -> str:
    if config.adapter == "none":
        return "full"
    return "QLoRA" if config.use_4bit else "LoRA"


def _variant(
    config: TrainConfig,
    configured: bool,
    shape: WhisperConfig,
    workload: Workload,
    table: GpuTable,
    calibration: Calibration | None,
) -> Variant:
    trained = trained_parameters(shape, config)
    padded_s = workload.total(lambda load: load.windows * load.positions / POSITIONS_PER_S)
    largest = workload.largest(lambda load: activation_bytes(shape, config, load, number_bytes=2))
    here_s = calibration.run_seconds(shape, config, workload) if calibration and not config.use_4bit else None
    return Variant(
        adapter=_adapter(config),
        mode=config.windows.mode,
        configured=configured,
        trained_parameters=trained,
        total_parameters=total_parameters(shape) + (trained if config.adapter == "lora" else 0),
        num_steps=workload.num_steps,
        speech_hours=workload.num_hours,
        padded_hours=padded_s / 3600,
        pflop=workload.total(lambda load: load_flops(shape, config, load)) / 1e15,
        here_hours=None if here_s is None else here_s / 3600,
        on_gpus=[_on_gpu(name, gpu, shape, config, workload, largest) for name, gpu in table.gpus.items()],
    )


def _on_gpu(name: str, gpu: Gpu, shape: WhisperConfig, config: TrainConfig, workload: Workload, largest: Load) -> OnGpu:
    """Fit the run onto a card: as it is, with what `gradient_checkpointing: auto` does, or not; then say what would."""
    limit = HEADROOM * gpu.memory_gb * 1e9
    need = peak_bytes(shape, config, largest)
    advice = None
    if need > limit and config.gradient_checkpointing == "auto":
        checkpointed = _with(config, gradient_checkpointing="on")
        if peak_bytes(shape, checkpointed, largest) <= limit:
            config, advice = checkpointed, "gradient_checkpointing: on"
    need_now = peak_bytes(shape, config, largest)
    if need_now > limit:
        way = next((told for told, bytes_ in _ways_to_fit(shape, config, largest) if bytes_ <= limit), None)
        told = f"does not fit: use {way}" if way else "does not fit: use a smaller model_name or a larger card"
        return OnGpu(name, need / 1e9, False, None, None, told)
    factor = QLORA_FACTOR if config.use_4bit else 1.0
    floor_s = LAYER_S * (shape.encoder_layers + shape.decoder_layers)
    speed = gpu.peak_tflops * 1e12 * gpu.utilisation
    seconds = workload.total(lambda load: max(floor_s, factor * load_flops(shape, config, load) / speed))
    hours = seconds / 3600
    return OnGpu(name, need_now / 1e9, True, hours, hours * gpu.price_per_hour, advice)


def _ways_to_fit(shape: WhisperConfig, config: TrainConfig, largest: Load) -> Iterator[tuple[str, float]]:
    """Give settings that need less memory, from the cheapest to the dearest, with the bytes that each needs."""
    padded_s = largest.windows * largest.positions / POSITIONS_PER_S
    on = _with(config, gradient_checkpointing="on")
    four_bits = config.adapter == "lora" and not config.use_4bit
    steps = [(config, "")]
    if config.gradient_checkpointing != "on":
        steps.append((on, "gradient_checkpointing: on"))
    if four_bits:
        steps.append((_with(on, use_4bit=True), "use_4bit: true and gradient_checkpointing: on"))
    for settings, told in steps:
        for share in (1.0, 0.5, 0.25, 0.125, 0.0):
            small = largest.shrunk(share)
            seconds = f"windows.max_batch_seconds: {max(30, padded_s * share):.0f}" if share < 1 else ""
            if told or seconds:
                yield " and ".join(filter(None, (told, seconds))), peak_bytes(shape, settings, small)
