"""Checkpoints that are whole or not there: hashed, renamed into place, found again newest first.

Writes and reads `RUN/checkpoints/step-00000120/`:

    model/                 an adapter or a full model, loadable by `rojak evaluate` and others
    optimizer.safetensors  its state, tensor by tensor
    state.json             where the run stands
    MANIFEST.json          size and SHA-256 of every file above; written last
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rojak.errors import CheckpointError, InputError
from rojak.runs import explain_os_error, read_json, sync_directory, write_json

MANIFEST = "MANIFEST.json"
LATEST = "LATEST"


@dataclass
class RunState:
    """Where a run stands; everything that a continued run needs beyond weights and optimiser."""

    step: int = 0
    stage_index: int = 0
    step_in_stage: int = 0
    audio_s: float = 0.0
    train_s: float = 0.0
    best: list[tuple[float, int]] = field(default_factory=list)
    """(badness, step) of the kept checkpoints, best first; see `ValidationResult.badness`."""
    loss_scale: dict[str, Any] | None = None
    num_processes: int = 1
    """Processes for which steps are cut; stays when the run goes on with another number of them."""
    guard_base: dict[str, float] = field(default_factory=dict)
    """Loss of the untrained model on each guard set."""
    stale: int = 0
    """Validations since the last better one."""
    ended_early: bool = False
    data_mark: str | None = None
    """Hash of the prepared data (`Dataset.mark`); None in runs that began before it was kept."""
    parts: int = 1
    """Pieces into which micro-batches are cut since memory ran out."""


def checkpoint_path(run: Path, step: int) -> Path:
    """Give the folder of a step's checkpoint."""
    return run / "checkpoints" / f"step-{step:08d}"


def save_checkpoint(
    run: Path, state: RunState, optimizer: dict[str, torch.Tensor], save_model: Callable[[Path], None]
) -> Path:
    """Write a checkpoint beside its place, sync it, seal it with a manifest, rename it, and point `LATEST` at it.

    Raises:
        InputError: No space or no permission; the checkpoints before stand untouched.
    """
    target = checkpoint_path(run, state.step)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            save_model(temporary / "model")
            save_file(optimizer, temporary / "optimizer.safetensors")
            write_json(temporary / "state.json", asdict(state))
            write_json(temporary / MANIFEST, _manifest(temporary))
            _give_rights_of(target.parent, temporary)
            _sync_tree(temporary)
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            sync_directory(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _point(target.parent / LATEST, target.name)
    except (OSError, SafetensorError) as error:
        raise explain_os_error(error, target) from error
    return target


def load_checkpoint(folder: Path) -> tuple[RunState, dict[str, torch.Tensor]]:
    """Read the state and the optimiser tensors of a checkpoint that `newest_valid` gave."""
    values = read_json(folder / "state.json")
    values["best"] = [(float(metric), int(step)) for metric, step in values["best"]]
    return RunState(**values), load_file(folder / "optimizer.safetensors")


def load_model_into(model: torch.nn.Module, folder: Path) -> None:
    """Put the weights of a checkpoint's `model/` folder into the model that wrote it, bit for bit.

    Raises:
        CheckpointError: The weights belong to another architecture or adapter.
    """
    adapter = folder / "adapter_model.safetensors"
    try:
        if adapter.is_file():
            left_over = set_peft_model_state_dict(model, load_file(adapter)).unexpected_keys
        else:
            # The output layer is tied to the embedding and stored once.
            left_over = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False).unexpected_keys
    except RuntimeError as error:
        raise CheckpointError(f"{folder} does not fit the model: {str(error).splitlines()[0]}") from error
    if left_over:
        raise CheckpointError(f"{folder} holds weights that the model lacks, such as {left_over[0]}.")


def newest_valid(run: Path, report: Callable[[str], None]) -> Path | None:
    """Find the newest checkpoint whose files are all as its manifest says.

    Broken ones are renamed to `*.broken` and named through `report`; unfinished ones are removed.
    """
    folder = run / "checkpoints"
    if not folder.is_dir():
        return None
    for leftover in folder.glob(".*.part"):
        shutil.rmtree(leftover, ignore_errors=True)
    for candidate in sorted(folder.glob("step-*[0-9]"), reverse=True):
        fault = find_fault(candidate)
        if fault is None:
            return candidate
        aside = candidate.with_name(f"{candidate.name}.broken")
        shutil.rmtree(aside, ignore_errors=True)
        candidate.rename(aside)
        report(f"Checkpoint {candidate.name} is broken ({fault}); set aside as {aside.name}, trying the one before.")
    return None


def find_fault(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint, or None when every file has its size and SHA-256."""
    try:
        manifest: dict[str, dict[str, Any]] = read_json(folder / MANIFEST)
    except InputError:
        return "its manifest is missing or malformed"
    if not isinstance(manifest, dict) or "state.json" not in manifest or not all(map(_is_told, manifest.values())):
        return "its manifest is incomplete"
    for name, expected in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected["size"]:
            return f"{name} has {path.stat().st_size} bytes instead of {expected['size']}"
        if _sha256(path) != expected["sha256"]:
            return f"{name} was changed"
    return None


def _is_told(expected: object) -> bool:
    return isinstance(expected, dict) and {"size", "sha256"} <= expected.keys()


def remove_old(run: Path, keep_steps: set[int]) -> None:
    """Remove checkpoints of other steps than those; called only after a newer one is safe."""
    for folder in (run / "checkpoints").glob("step-*[0-9]"):
        if int(folder.name.removeprefix("step-")) not in keep_steps:
            shutil.rmtree(folder, ignore_errors=True)


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): {"size": p.stat().st_size, "sha256": _sha256(p)} for p in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _give_rights_of(place: Path, folder: Path) -> None:
    """Let those read the folder who may read the place where it lies; mkdtemp and safetensors make theirs private."""
    mode = place.stat().st_mode & 0o777
    folder.chmod(mode)
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_directory(folder)


def _point(link: Path, name: str) -> None:
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.write_text(f"{name}\n")
    temporary.replace(link)
    sync_directory(link.parent)
