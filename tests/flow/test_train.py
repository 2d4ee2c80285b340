"""Training: learns, stops and goes on to the bit, falls back from broken checkpoints, says what is wrong."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from training import SMALL_LORA, run_config

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.errors import CheckpointError, ConfigError, InputError, TrainingError
from rojak.runs import locked, read_jsonl
from rojak.train import loop
from rojak.train.batch import Batch
from rojak.train.checkpoint import RunState, find_fault, newest_valid
from rojak.train.loop import train
from rojak.train.stages import StepPlan

SETTINGS = {
    **SMALL_LORA,
    "seed": 3,
    "batch_size": 4,
    "gradient_accumulation_steps": 2,
    "lora_dropout": 0.1,
    "windows": {"mode": "mixed"},
    "stages": [
        {"name": "clean", "mixture": [{"select": "added_snr_db == none"}], "max_steps": 3},
        {"name": "noisy", "max_steps": 3, "augment": {"noise_share": 0.5, "speed": [0.9, 1.1], "time_masks": 1}},
    ],
    "validation": {"every_steps": 2, "max_utterances": 4, "max_new_tokens": 8},
    "checkpoint_every_steps": 1,
}


ON_ONE_CORE = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")


config = partial(run_config, SETTINGS)


def final_checkpoint(run: Path) -> Path:
    return run / "checkpoints" / (run / "checkpoints" / "LATEST").read_text().strip()


def assert_same_end(first: Path, second: Path) -> None:
    """Weights, optimiser and losses are equal, bit for bit."""
    for name in ("model/adapter_model.safetensors", "optimizer.safetensors"):
        one, two = load_file(final_checkpoint(first) / name), load_file(final_checkpoint(second) / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name
    logs = [
        [(row["step"], row["loss"]) for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"]
        for run in (first, second)
    ]
    assert logs[0] == logs[1]


@pytest.fixture(scope="module", autouse=True)
def seen() -> Iterator[dict[str, dict[int, list]]]:
    """What each run in this process learnt from: for every step, the clips of its micro-batches."""
    clips: dict[str, dict[int, list]] = defaultdict(dict)
    take_step = loop.Trainer._step

    def step(self: loop.Trainer, plan: StepPlan, batches: list[Batch]) -> dict:
        clips[str(self.run)][self.state.step] = [batch.audio_ids for batch in batches]
        return take_step(self, plan, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "_step", step)
        yield clips


@pytest.fixture(scope="module")
def whole_run(tiny_dir: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(config(tiny_dir, data_dir, run))
    return run


def test_a_run_leaves_what_it_should(whole_run: Path) -> None:
    assert (whole_run / "best" / "adapter_config.json").is_file()
    settings = json.loads((whole_run / "best" / "adapter_config.json").read_text())
    assert settings["task_type"] is None
    rows = read_jsonl(whole_run / "log.jsonl")
    assert [row["step"] for row in rows if row["event"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert {row["stage"] for row in rows if row["event"] == "train"} == {"clean", "noisy"}
    assert [row["step"] for row in rows if row["event"] == "validation"] == [2, 3, 4, 6]
    kept = list((whole_run / "checkpoints").glob("step-*"))
    assert len(kept) <= 4
    assert all(find_fault(folder) is None for folder in kept)
    rights = {path.stat().st_mode & 0o777 for path in whole_run.rglob("*.safetensors")}
    assert rights == {(whole_run / "config.yaml").stat().st_mode & 0o777}, "whoever may read the run may read its model"


@ON_ONE_CORE
@pytest.mark.parametrize("loader_workers", [0, 2])
@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5])
def test_stopped_at_any_step_it_ends_the_same(
    stop_after: int,
    loader_workers: int,
    whole_run: Path,
    seen: dict[str, dict[int, list]],
    tiny_dir: Path,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stage and epoch end at step 3; every step accumulates several micro-batches."""
    run = tmp_path / "run"
    settings = config(tiny_dir, data_dir, run, loader_workers=loader_workers)
    take_step = loop.Trainer._step

    def step_then_signal(self: loop.Trainer, *arguments: object) -> dict:
        if self.state.step + 1 == stop_after:
            signal.raise_signal(signal.SIGTERM)
        return take_step(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_step", step_then_signal)
        with pytest.raises(SystemExit) as stopped:
            train(settings)
    assert stopped.value.code == 143
    assert final_checkpoint(run).name == f"step-{stop_after:08d}"
    train(settings)
    assert_same_end(whole_run, run)
    assert seen[str(run)] == seen[str(whole_run)]
    assert all(len(batches) > 1 for batches in seen[str(run)].values())


@ON_ONE_CORE
def test_loader_workers_change_nothing(
    whole_run: Path, seen: dict[str, dict[int, list]], tiny_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    train(config(tiny_dir, data_dir, tmp_path / "run", loader_workers=2))
    assert_same_end(whole_run, tmp_path / "run")
    assert seen[str(tmp_path / "run")] == seen[str(whole_run)]


def test_killed_at_any_moment_the_same_command_finishes(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    """Both runs are processes of their own: after other tests, sums in this one may differ in the last bit."""
    whole_run, run = tmp_path / "whole", tmp_path / "run"
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config(tiny_dir, data_dir, run).model_dump(mode="json")))
    command = [sys.executable, "-m", "rojak.cli", "train", str(path)]
    undisturbed = [*command, "--output_dir", str(whole_run)]
    assert subprocess.run(undisturbed, stderr=subprocess.DEVNULL, check=False).returncode == 0
    for wanted in ('"step": 2', '"step": 4'):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (run / "log.jsonl").exists() and wanted in (run / "log.jsonl").read_text():
                break
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert_same_end(whole_run, run)


def test_a_broken_checkpoint_is_set_aside_and_the_one_before_is_used(
    whole_run: Path, tiny_dir: Path, data_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    settings = config(tiny_dir, data_dir, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "remove_old", lambda *_: None)
        train(settings)
    newest = final_checkpoint(run)
    weights = newest / "model" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    optimizer = newest.with_name("step-00000005") / "optimizer.safetensors"
    optimizer.write_bytes(optimizer.read_bytes()[:-10])
    train(settings)
    said = capfd.readouterr().err
    assert "step-00000006 is broken (model/adapter_model.safetensors was changed)" in said
    assert "step-00000005 is broken (optimizer.safetensors has" in said
    assert "Continuing from step-00000004" in said
    assert (newest.parent / "step-00000006.broken").is_dir()
    assert_same_end(whole_run, run)


def test_after_a_change_in_any_file_of_a_checkpoint_the_one_before_is_used(whole_run: Path, tmp_path: Path) -> None:
    newest = final_checkpoint(whole_run)
    before = sorted(newest.parent.glob("step-*"))[-2]
    names = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    assert {"MANIFEST.json", "state.json", "optimizer.safetensors", "adapter_model.safetensors"} <= {
        n.name for n in names
    }
    for number, (name, kind) in enumerate(product(names, ("truncated", "changed", "empty", "gone"))):
        run = tmp_path / str(number)
        for folder in (before, newest):
            shutil.copytree(folder, run / "checkpoints" / folder.name)
        path = run / "checkpoints" / newest.name / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes({"truncated": data[: len(data) // 2], "changed": data}.get(kind, b""))
        if kind == "gone":
            path.unlink()
        said: list[str] = []
        assert newest_valid(run, said.append) == run / "checkpoints" / before.name, f"{name} {kind}"
        assert len(said) == 1
        assert f"{newest.name} is broken" in said[0]
        assert "trying the one before" in said[0]
        assert path.name == "MANIFEST.json" or str(name) in said[0]


@pytest.mark.parametrize("fails", ["model/adapter_model.safetensors", "optimizer.safetensors"])
def test_a_write_that_the_system_refuses_leaves_the_checkpoint_before(
    fails: str, whole_run: Path, tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is real and comes from within safetensors' own writing, as that of a full disk does."""
    run = tmp_path / "run"
    settings = config(tiny_dir, data_dir, run)
    limit = (final_checkpoint(whole_run) / fails).stat().st_size - 1
    save = loop.save_checkpoint

    def save_under_limit(run: Path, state: RunState, *rest: Any) -> Path:
        if state.step != 3:
            return save(run, state, *rest)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            return save(run, state, *rest)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_under_limit)
        with pytest.raises(InputError, match=r"Cannot use .*step-00000003: .* `ulimit -f`") as told:
            train(settings)
    assert isinstance(told.value.__cause__, SafetensorError)
    assert "os error 27" in str(told.value.__cause__)
    assert final_checkpoint(run).name == "step-00000002"
    assert find_fault(final_checkpoint(run)) is None
    assert not list((run / "checkpoints").glob(".*"))
    train(settings)
    assert_same_end(whole_run, run)


def test_a_best_model_that_a_kill_left_behind_is_brought_up_to_date(
    whole_run: Path, tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the checkpoint of the best step was safe, and before its model was copied to `best/`."""
    run = tmp_path / "run"
    settings = config(tiny_dir, data_dir, run)
    best_step = next(row["best_step"] for row in read_jsonl(whole_run / "log.jsonl") if row["event"] == "end")
    copy = loop.replace_folder

    class KilledError(BaseException):
        pass

    def killed(source: Path, target: Path) -> None:
        if source.parent.name == f"step-{best_step:08d}":
            raise KilledError
        copy(source, target)

    def best(run: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (run / "best").glob("*")}

    with monkeypatch.context() as patch:
        patch.setattr(loop, "replace_folder", killed)
        with pytest.raises(KilledError):
            train(settings)
    assert final_checkpoint(run).name == f"step-{best_step:08d}"
    assert best(run) != best(whole_run)
    train(settings)
    assert best(run) == best(whole_run)


def test_changed_settings_are_refused_with_the_difference(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, whole_run: Path
) -> None:
    changed = config(tiny_dir, data_dir, whole_run, learning_rate=1e-3)
    with pytest.raises(ConfigError, match=r"learning_rate: 0\.002 → 0\.001"):
        train(changed)
    assert load_config(TrainConfig, whole_run / "config.yaml").learning_rate == 2e-3
    train(config(tiny_dir, data_dir, whole_run, log_every_steps=5))


def test_data_that_were_prepared_anew_are_refused(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, whole_run: Path
) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(whole_run, run)
    shutil.copytree(data_dir, data)
    train(config(tiny_dir, data, run), allow_change=True)  # the same data elsewhere
    stats = (data / "stats.json").read_text()
    (data / "stats.json").write_text(stats.replace('"inputs": "', '"inputs": "0'))
    with pytest.raises(ConfigError, match=r"began with other data than .*data holds now"):
        train(config(tiny_dir, data, run))
    train(config(tiny_dir, data, run), allow_change=True)


def test_two_processes_cannot_share_a_run(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    code = f"import pathlib, time\nfrom rojak.runs import locked\nwith locked(pathlib.Path({str(tmp_path)!r})):\n"
    code += "    print('held', flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="in use by another"):
        train(config(tiny_dir, data_dir, tmp_path))
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_stops_and_names_the_clips(
    where: str, tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(
        network: torch.nn.Module, encoded: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        weight = next(p for p in network.parameters() if p.requires_grad)
        bad = weight.sum() * float("nan") if where == "loss" else torch.sqrt((weight * 0).abs()).sum()
        return bad.expand(int((labels != -100).sum()))

    monkeypatch.setattr(loop, "token_losses", poisoned)
    with pytest.raises(TrainingError, match=rf"The {where} became nan at step 1, on the clips train-"):
        train(config(tiny_dir, data_dir, tmp_path / "run"))


def test_weights_of_another_adapter_are_refused(whole_run: Path, tiny_dir: Path, data_dir: Path) -> None:
    with pytest.raises((CheckpointError, InputError)):
        train(config(tiny_dir, data_dir, whole_run, lora_r=8), allow_change=True)


def test_full_fine_tuning_learns(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    stages = [{"name": "all", "max_steps": 30}]
    changes = {
        "adapter": "none",
        "stages": stages,
        "validation": {"every_steps": 30, "max_utterances": 4, "max_new_tokens": 8},
    }
    train(config(tiny_dir, data_dir, tmp_path / "run", windows={"mode": "trim"}, learning_rate=5e-3, **changes))
    losses = [row["loss"] for row in read_jsonl(tmp_path / "run" / "log.jsonl") if row["event"] == "train"]
    assert sum(losses[-3:]) / 3 < 0.8 * losses[0]
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    assert (tmp_path / "run" / "best" / "preprocessor_config.json").is_file()
