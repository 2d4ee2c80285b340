"""Several real processes on this CPU, joined by gloo: two equal one, all stop together, one goes on alone.

One test starts them with torchrun, as users do; in the others they are forked from one process that has imported
everything, so that each starts in a moment.
"""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from training import SMALL_LORA

from rojak.config.schema import TrainConfig
from rojak.errors import RojakError
from rojak.runs import read_jsonl
from rojak.train import loop
from rojak.train.batch import Batch
from rojak.train.stages import StepPlan

SETTINGS = {
    **SMALL_LORA,
    "seed": 3,
    "batch_size": 4,
    "gradient_accumulation_steps": 2,
    "windows": {"mode": "mixed"},
    "stages": [
        {"name": "clean", "max_steps": 2},
        {"name": "noisy", "max_steps": 2, "augment": {"noise_share": 0.5, "speed": [0.9, 1.1], "time_masks": 1}},
    ],
    "loss": {"particle_weight": 2.0},
    "validation": {"every_steps": 2, "max_utterances": 2, "max_new_tokens": 4, "guards": [{"name": "all"}]},
    "checkpoint_every_steps": 1,
}
STEPS = 4


def one_of_several(settings: dict, rank: int, count: int, port: int, fault: str) -> None:
    """Train as a launcher would start it; write down what is learnt from; at step 2 the second may meet a fault."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    if count > 1:
        os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
    run = settings["output_dir"]
    os.dup2(os.open(f"{run}.said.{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    torch.set_num_threads(1)
    take_step = loop.Trainer._step

    def step(self: loop.Trainer, plan: StepPlan, batches: list[Batch]) -> dict:
        with Path(f"{run}.seen.{rank}").open("a") as file:
            for batch in batches:
                file.write(json.dumps([self.state.step, batch.clips()]) + "\n")
        if fault and rank == 1 and self.state.step == 2:
            os.kill(os.getpid(), getattr(signal, fault))
        return take_step(self, plan, batches)

    loop.Trainer._step = step  # type: ignore[method-assign]
    try:
        loop.train(TrainConfig.model_validate(settings))
    except RojakError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None


class Runs:
    """Runs of the same settings in one folder."""

    def __init__(self, folder: Path, tiny_dir: Path, data_dir: Path) -> None:
        self.folder = folder
        self.settings = SETTINGS | {"model_name": str(tiny_dir), "dataset_path": str(data_dir)}

    def train(self, name: str, count: int, fault: str = "") -> list[int | None]:
        """Start so many processes; give their exit codes."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["rojak.train.feed", "rojak.train.loop"])
        settings = self.settings | {"output_dir": str(self.folder / name)}
        started = [
            context.Process(target=one_of_several, args=(settings, rank, count, port, fault)) for rank in range(count)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(120)
            process.kill()
            process.join()
        return [process.exitcode for process in started]

    def said(self, name: str, rank: int = 0) -> str:
        return (self.folder / f"{name}.said.{rank}").read_text()

    def losses(self, name: str) -> list[float]:
        return [row["loss"] for row in read_jsonl(self.folder / name / "log.jsonl") if row["event"] == "train"]

    def weights(self, name: str) -> dict:
        newest = (self.folder / name / "checkpoints" / "LATEST").read_text().strip()
        assert newest == f"step-{STEPS:08d}"
        return load_file(self.folder / name / "checkpoints" / newest / "model" / "adapter_model.safetensors")

    def seen(self, name: str) -> dict[int, list[str]]:
        """Give, for each step, the clips that all processes together learnt from."""
        clips = defaultdict(list)
        for path in self.folder.glob(f"{name}.seen.*"):
            for line in path.read_text().splitlines():
                step, ids = json.loads(line)
                clips[step] += ids
        return {step: sorted(ids) for step, ids in sorted(clips.items())}

    def assert_equal(self, name: str, other: str) -> None:
        assert self.losses(name) == pytest.approx(self.losses(other), rel=1e-5)
        one, two = self.weights(name), self.weights(other)
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert (value - two[key]).abs().max() < 1e-4, key


@pytest.fixture(scope="module")
def runs(tiny_dir: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    runs = Runs(tmp_path_factory.mktemp("processes"), tiny_dir, data_dir)
    assert runs.train("one", 1) == [0], runs.said("one")
    return runs


def test_torchrun_starts_two_processes_that_equal_one(runs: Runs) -> None:
    path = runs.folder / "config.yaml"
    path.write_text(yaml.safe_dump(runs.settings | {"output_dir": str(runs.folder / "torchrun")}))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    # One thread each, so that two processes do not fight over two cores; gloo on this machine's own interface, so that
    # it does not look for the address of a host name that no server knows.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*launcher, "-m", "rojak.cli", "train", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "× 2 processes" in done.stderr
    runs.assert_equal("torchrun", "one")
    kinds = [[row["event"] for row in read_jsonl(runs.folder / name / "log.jsonl")] for name in ("one", "torchrun")]
    assert kinds[0] == kinds[1], "only the first process writes the log"


def test_a_dead_process_stops_all_with_a_sentence_and_one_goes_on_alone(runs: Runs) -> None:
    assert runs.train("dead", 2, fault="SIGKILL") == [1, -signal.SIGKILL]
    assert "Another process of this run ended" in runs.said("dead")
    assert "the same command again" in runs.said("dead")
    assert len(runs.losses("dead")) == 2
    assert runs.train("dead", 1) == [0], runs.said("dead")
    assert "Continuing from step-00000002" in runs.said("dead")
    runs.assert_equal("dead", "one")


def test_a_signal_to_one_process_stops_all_after_the_same_step_and_two_go_on(runs: Runs) -> None:
    assert runs.train("signal", 2, fault="SIGTERM") == [143, 143]
    assert "Stopped at step 3; the same command continues from here." in runs.said("signal")
    assert runs.train("signal", 2) == [0, 0], runs.said("signal")
    assert "Continuing from step-00000003" in runs.said("signal")
    assert all((runs.folder / f"signal.seen.{rank}").read_text() for rank in (0, 1))
    assert list(runs.seen("one")) == list(range(STEPS))
    assert runs.seen("signal") == runs.seen("one")
    runs.assert_equal("signal", "one")
