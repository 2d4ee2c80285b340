"""The run directory's own rules: one configuration a run, and folders replaced as a whole.

Reads and writes RUN/config.yaml; replaces RUN/best/.
"""

import filecmp
import shutil
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.runs import explain_os_error, write_bytes
from rojak.train.checkpoint import RunState

CONFIG_FILE = "config.yaml"
HARMLESS = {"output_dir", "loader_workers", "log_every_steps", "tensorboard", "wandb", "push_to"}
"""Settings that a continued run may change: they do not touch the result."""


def check_config(run: Path, config: TrainConfig) -> None:
    """Compare a configuration with that of the run to be continued; a run without a checkpoint begins anew.

    Raises:
        ConfigError: Names the settings that differ.
    """
    path = run / CONFIG_FILE
    begun = (run / "best").exists() or any((run / "checkpoints").glob("step-*[0-9]"))
    if not path.exists() or not begun:
        return
    before = _flat(_with_new_settings(yaml.safe_load(path.read_text(encoding="utf-8"))))
    now = _flat(config.model_dump(mode="json"))
    changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k not in HARMLESS)
    if changed:
        differences = ", ".join(f"{key}: {before.get(key)} → {now.get(key)}" for key in changed)
        raise ConfigError(
            f"{run} holds a run with other settings ({differences}); "
            "choose another output_dir, or continue it all the same with --allow-change."
        )


def check_state(run: Path, config: TrainConfig, state: RunState, data_mark: str, *, allow_change: bool) -> None:
    """Hold a continued run against the data and the settings that it goes on with, and note them in its state.

    Args:
        run: Run directory.
        config: What was asked for.
        state: Of the newest checkpoint, or a new run's.
        data_mark: `Dataset.mark` of the training data.
        allow_change: Go on with other data all the same.

    Raises:
        ConfigError: Other data, or a guard set whose loss before training is not known.
    """
    if state.data_mark not in (None, data_mark) and not allow_change:
        raise ConfigError(
            f"{run} began with other data than {config.dataset_path} holds now; "
            "choose another output_dir, or continue it all the same with --allow-change."
        )
    state.data_mark = data_mark
    validation = config.validation
    state.ended_early = validation.patience is not None and state.stale >= validation.patience
    new = [guard.name for guard in validation.guards if state.step and guard.name not in state.guard_base]
    if new:
        raise ConfigError(
            f"{run} began without the guard {new[0]}, so the base's loss on it is not known; "
            "take it out, or choose another output_dir."
        )


def write_config(run: Path, config: TrainConfig) -> None:
    """Write what was asked for into the run's directory."""
    values = config.model_dump(mode="json")
    write_bytes(run / CONFIG_FILE, yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())


def _with_new_settings(stored: Any) -> Any:
    """Give settings that Rojak learnt after the run began their defaults; what cannot be read stays as it is."""
    try:
        return TrainConfig.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict | list) or not values:
        return {prefix.removesuffix("."): values}
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    return {key: leaf for name, value in pairs for key, leaf in _flat(value, f"{prefix}{name}.").items()}


def bring_up_to_date(source: Path, target: Path) -> None:
    """Copy `source` over `target` unless every file of it is there already, byte for byte."""
    if any(not _is_copied(path, target / path.relative_to(source)) for path in source.rglob("*") if path.is_file()):
        replace_folder(source, target)


def _is_copied(path: Path, copy: Path) -> bool:
    return copy.is_file() and filecmp.cmp(path, copy)


def replace_folder(source: Path, target: Path) -> None:
    """Copy `source` over `target`; a reader finds the old folder or the new one, for an instant none.

    Raises:
        InputError: No space or no permission; the old folder stands.
    """
    fresh, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        shutil.copytree(source, fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise explain_os_error(error, target) from error
    shutil.rmtree(old, ignore_errors=True)
