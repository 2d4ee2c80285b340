"""How flow tests configure a training run: small, quiet, and the same on every machine."""

from pathlib import Path
from typing import Any

from rojak.config.schema import TrainConfig

QUIET: dict[str, Any] = {"log_every_steps": 1, "tensorboard": False, "precision": "fp32"}
SMALL_LORA: dict[str, Any] = {**QUIET, "learning_rate": 2e-3, "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.0}


def run_config(settings: dict[str, Any], model: Path, data: Path, run: Path, **changes: Any) -> TrainConfig:
    """Give a test's settings, with its changes, for a model, prepared data and a run directory."""
    paths = {"model_name": str(model), "dataset_path": str(data), "output_dir": str(run)}
    return TrainConfig.model_validate(settings | paths | changes)
