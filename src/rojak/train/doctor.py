"""Is everything there to train: the machine, the packages, and, for a configuration, the run itself in small.

Reads package metadata and asks the machine; with a configuration also its model and data. Leaves nothing behind.
"""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
from packaging.requirements import Requirement

from rojak.audio import SAMPLE_RATE, decode_audio
from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import RojakError
from rojak.model.adapters import count_parameters
from rojak.runs import explain_os_error
from rojak.train.checkpoint import find_fault, load_checkpoint, newest_valid
from rojak.train.devices import choose_compute
from rojak.train.loop import Trainer
from rojak.train.stages import open_training_data

MIN_DISK_GB = 5.0
MAX_TRAINED_SHARE = 0.10
SMALL_MODEL = 30_000_000
"""Models below this, such as rojak-micro, may train a larger share: useful ranks are a third of their width."""
EXTRAS = {
    "bitsandbytes": ("use_4bit", "pip install 'rojak[gpu]'"),
    "wandb": ("tracking with Weights & Biases", "pip install wandb"),
    "onnx": ("ONNX export", "pip install 'rojak[onnx]'"),
    "onnxscript": ("ONNX export", "pip install 'rojak[onnx]'"),
    "onnxruntime": ("running ONNX exports", "pip install onnxruntime"),
    "ctranslate2": ("export for faster-whisper", "pip install ctranslate2"),
    "faster_whisper": ("comparison with faster-whisper", "pip install faster-whisper"),
}


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it is well, what was seen, and how to mend it."""

    name: str
    state: Literal["ok", "bad", "absent"]
    """`absent` is for what is optional and not there."""
    detail: str
    mend: str | None = None


class _Broken(Exception):  # noqa: N818 - carries a mend to the check's line, never reaches a user
    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.mend = mend


def examine_machine(out_dir: Path = Path()) -> Iterator[Check]:
    """Look at the machine and the installation, line by line.

    Args:
        out_dir: Where runs will be written; its disk is looked at.
    """
    yield _check("Python", _python)
    yield from _packages()
    yield _check("GPU", _gpu)
    yield _check("number format", lambda: f"{choose_compute('auto').precision} by precision: auto")
    yield _check("cores", lambda: f"{os.cpu_count()} ({platform.machine()}), torch uses {torch.get_num_threads()}")
    yield _check("disk", lambda: _disk(out_dir))
    yield _check("codecs", _codecs)
    for name, (what, mend) in EXTRAS.items():
        try:
            yield Check(name, "ok", f"{importlib.metadata.version(name)}, for {what}")
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "absent", f"not installed; only for {what}", mend)


def examine_run(config: TrainConfig) -> Iterator[Check]:
    """Go through a run in small: data, model, a step, a checkpoint, a WER; what needs a failed check is left out."""
    yield (data_check := _check("dataset", lambda: _dataset(config)))
    if data_check.state == "bad":
        return
    try:
        place = tempfile.mkdtemp(prefix=".doctor-", dir=_nearest(Path(config.output_dir)))
    except OSError as error:
        told = str(explain_os_error(error, Path(config.output_dir)))
        yield Check("output_dir", "bad", told, "set output_dir to a folder that can be written")
        return
    try:
        yield from _rehearse(config, Path(place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _rehearse(config: TrainConfig, place: Path) -> Iterator[Check]:
    trainers: list[Trainer] = []

    def model() -> str:
        small = config.validation.model_copy(update={"max_utterances": 2, "max_new_tokens": 16})
        changes = {"validation": small, "loader_workers": 0, "output_dir": str(place)}
        data = open_training_data(config)
        trainers.append(Trainer(config.model_copy(update=changes), place, data))
        return f"{config.model_name} is there"

    yield (model_check := _check("model", model))
    if model_check.state == "bad":
        return
    trainer = trainers[0]
    yield _check("dtype", lambda: f"{trainer.compute.precision} on {trainer.compute.device}")
    if config.adapter == "lora":
        yield _check("adapter", lambda: _adapter(trainer))
    yield _check("forward and backward", lambda: _one_step(trainer))
    yield _check("checkpoint", lambda: _checkpoint(trainer, place))
    yield _check("WER", lambda: _wer(trainer))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except _Broken as broken:
        return Check(name, "bad", str(broken), broken.mend)
    except RojakError as error:
        # The sentence says what to do itself.
        return Check(name, "bad", str(error))
    except (RuntimeError, MemoryError, OSError, LookupError, ValueError, TypeError) as error:
        # Whatever a strange model or damaged data bring forth is a line, too.
        told = str(error).strip().splitlines() or [type(error).__name__]
        return Check(name, "bad", told[0], "see docs/troubleshooting.md")


def _python() -> str:
    found = platform.python_version()
    if tuple(map(int, found.split(".")[:2])) < (3, 11):
        raise _Broken(found, "install Python 3.11 or newer")
    return found


def _packages() -> Iterator[Check]:
    """Hold the installed versions against the ranges of Rojak's own metadata."""
    try:
        wanted = [Requirement(text) for text in importlib.metadata.requires("rojak") or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Check("rojak", "bad", "runs from a folder and is not installed", "pip install -e .")
        return
    wrong = 0
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in needed:
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong += 1
            yield Check(requirement.name, "bad", "is not installed", f"pip install '{requirement}'")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong += 1
            told = f"{found} is outside {requirement.specifier}"
            yield Check(requirement.name, "bad", told, f"pip install '{requirement}'")
    if not wrong:
        shown = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "peft"))
        yield Check("packages", "ok", f"all {len(needed)} in their ranges ({shown})")


def _gpu() -> str:
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        if torch.version.cuda and Path("/proc/driver/nvidia/version").exists():
            raise _Broken(f"torch ({built}) cannot use the driver", "install a driver that suits this torch")
        return f"none (torch is {built}); training runs on the CPU"
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    names = ", ".join(f"{card.name} with {card.total_memory / 1e9:.0f} GB" for card in cards)
    bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
    driver = Path("/proc/driver/nvidia/version")
    version = driver.read_text().split("Kernel Module")[-1].split()[0] if driver.exists() else "unknown"
    return f"{names}; {bf16}; CUDA {torch.version.cuda}, driver {version}"


def _nearest(path: Path) -> Path:
    """Give the path itself or the nearest one above it that exists; a file in the way is found so, too."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def _disk(out_dir: Path) -> str:
    free_gb = shutil.disk_usage(_nearest(out_dir)).free / 1e9
    if free_gb < MIN_DISK_GB:
        raise _Broken(f"{free_gb:.1f} GB free", f"free some space; checkpoints want {MIN_DISK_GB:g} GB and more")
    return f"{free_gb:.0f} GB free"


def _codecs() -> str:
    """Write and read a tone in each format."""
    tone = (0.3 * np.sin(np.arange(SAMPLE_RATE) * 440 * 2 * np.pi / SAMPLE_RATE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("wav", "flac", "ogg", "mp3"):
            path = Path(folder) / f"tone.{kind}"
            soundfile.write(path, tone, SAMPLE_RATE)
            heard = len(decode_audio(path).samples)
            if abs(heard - len(tone)) > SAMPLE_RATE // 5:
                raise _Broken(f"{kind} is read wrongly", "pip install --force-reinstall soundfile av")
    return "wav, flac, ogg and mp3 are read (m4a, opus and others through PyAV)"


def _dataset(config: TrainConfig) -> str:
    data = open_training_data(config)
    checked = Dataset(Path(config.dataset_path), ("validation",))
    hours = sum(utterance.duration for utterance in data.utterances) / 3600
    data.read_audio(0)
    return f"{len(data)} training utterances ({hours:.2f} h), {len(checked)} for validation"


def _adapter(trainer: Trainer) -> str:
    counted = count_parameters(trainer.model)
    if counted.total > SMALL_MODEL and counted.trainable > MAX_TRAINED_SHARE * counted.total:
        raise _Broken(str(counted), f"lower lora_r (now {trainer.config.lora_r}) for less than {MAX_TRAINED_SHARE:.0%}")
    return str(counted)


def _one_step(trainer: Trainer) -> str:
    plan = next(trainer.curriculum.steps_from(0, 0))
    figures = trainer._step(plan, [trainer.curriculum.build(plan, n) for n in range(len(plan.micro_batches))])
    trainer.state.step, trainer.state.step_in_stage = 1, 1
    return f"loss {figures['loss']:.2f}, gradient norm {figures['grad_norm']:.2f}"


def _checkpoint(trainer: Trainer, place: Path) -> str:
    trainer._save()
    folder = newest_valid(place, lambda _: None)
    if folder is None or (fault := find_fault(folder)):
        raise _Broken(f"it cannot be read back ({fault if folder else 'not there'})", "try another disk for output_dir")
    state, _ = load_checkpoint(folder)
    size_mb = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    return f"{size_mb:.0f} MB written and read back at step {state.step}"


def _wer(trainer: Trainer) -> str:
    trainer.model.eval()
    with trainer.compute.autocast():
        result = trainer.validator.run()
    return f"{result.metrics['wer']:.1%} on 2 utterances (only to see that it can be computed)"
