"""What `rojak tune` searches: a YAML file of settings and the values that each may take.

Reads the file; gives configurations.

    sampler: tpe            # grid (every combination), random, or tpe
    num_trials: 20          # for random and tpe
    parameters:
      learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}
      lora_r: [32, 64, 128]
      windows.mode: [trim, mixed]
    tied:
      lora_alpha: {to: lora_r, times: 2}
"""

import itertools
import math
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rojak.config.load import change_config
from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.runs import explain_os_error

Value = bool | int | float | str


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Part):
    """Numbers between two ends; whole ones when both ends are written as whole numbers."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 with log")
        return self


class Tie(_Part):
    """A setting that follows another one."""

    to: str
    times: int | float = 1


class Space(_Part):
    """The whole file."""

    sampler: Literal["grid", "random", "tpe"] = "tpe"
    num_trials: int | None = Field(default=None, ge=1)
    parameters: dict[str, list[Value] | Range] = Field(min_length=1)
    tied: dict[str, Tie] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, values in self.parameters.items():
            if isinstance(values, Range) and self.sampler == "grid":
                raise ValueError(f"{name} is a range, and a grid needs lists")
            if isinstance(values, list) and len(set(values)) != len(values):
                raise ValueError(f"{name} names a value twice")
            if not isinstance(values, Range) and not values:
                raise ValueError(f"{name} has no values")
        for name, tie in self.tied.items():
            if tie.to not in self.parameters or name in self.parameters:
                raise ValueError(f"{name} must be tied to a searched parameter and not be one itself")
        if self.sampler == "grid" and self.num_trials is not None:
            raise ValueError("num_trials is for random and tpe; a grid tries every combination")
        return self

    def grid(self) -> list[dict[str, Value]]:
        """Give every combination of the listed values."""
        lists = [values if isinstance(values, list) else [] for values in self.parameters.values()]
        return [dict(zip(self.parameters, combination, strict=True)) for combination in itertools.product(*lists)]

    @property
    def size(self) -> int:
        """Number of trials."""
        return len(self.grid()) if self.sampler == "grid" else (self.num_trials or 20)


def read_space(path: Path) -> Space:
    """Read a search space.

    Raises:
        InputError: The file cannot be read.
        ConfigError: It is malformed; says where.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path} is not valid YAML ({reason}); see configs/tune-grid.yaml.") from None
    try:
        return Space.model_validate(values)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg'].removeprefix('Value error, ').lower()}"
            for e in error.errors()
        )
        raise ConfigError(f"{path}: {told}; configs/tune-grid.yaml shows how it is written.") from None


def apply(config: TrainConfig, space: Space, chosen: dict[str, Value]) -> TrainConfig:
    """Give the configuration with the chosen values put in.

    Raises:
        ConfigError: A name is no setting, or a value is not allowed.
    """
    values: dict[str, Any] = dict(chosen)
    for name, tie in space.tied.items():
        followed = chosen[tie.to]
        if isinstance(followed, str | bool):
            raise ConfigError(f"{name} is tied to {tie.to}, which is no number ({followed}).")
        values[name] = followed * tie.times
    return change_config(config, values)


def shortened(config: TrainConfig, share: float) -> TrainConfig:
    """Give a configuration that trains for a share of the steps, stage by stage, and so on a share of the data."""
    stages = []
    for stage in config.stages:
        if stage.max_steps is not None:
            change: dict[str, Any] = {"max_steps": max(1, math.ceil(stage.max_steps * share))}
        else:
            change = {"num_epochs": (stage.num_epochs or config.num_epochs) * share}
        stages.append(stage.model_copy(update=change))
    return config.model_copy(update={"stages": tuple(stages)})
