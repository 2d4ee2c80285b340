"""Loader workers: when they end, when they do not, and what becomes of bad input in them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

TRAINER = """
# The feed of a run whose batches are numbers: what is read matters here to nobody.
import time
from types import SimpleNamespace

from rojak.errors import InputError
from rojak.train.checkpoint import RunState
from rojak.train.feed import feed
from rojak.train.processes import Processes


class Curriculum:
    def steps_from(self, stage_index, step_in_stage):
        for epoch in range(1000):
            yield SimpleNamespace(
                stage=SimpleNamespace(index=0), epoch=epoch, micro_batches=[[SimpleNamespace(length_s=1.0)]]
            )

    def build_windows(self, stage_index, epoch, windows):
        if epoch == 40:
            raise InputError("noise.wav is silent.")
        return epoch


if __name__ == "__main__":
    feeding = feed(Curriculum(), RunState(), 2, Processes())
    for _ in range(4):
        next(feeding)
    print("fed", flush=True)
"""
SLEEPING = """
    time.sleep(300)
"""
INTERRUPTED = """
    import os, signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgid(0), signal.SIGINT)
    os.killpg(os.getpgid(0), signal.SIGTERM)
    time.sleep(0.5)
    print([next(feeding) for _ in range(36)] == list(range(4, 40)))
    try:
        next(feeding)
    except InputError as error:
        print(error)
    feeding.close()
"""


def running_with(mark: str) -> set[int]:
    """Find the processes that have an environment variable of this name and value."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
    return found


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs /proc to find the workers of another process"
)
def test_loader_workers_end_with_a_trainer_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER + SLEEPING)
    environment = {**os.environ, "ROJAK_TEST_TRAINER": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    mark = f"ROJAK_TEST_TRAINER={tmp_path}"
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "fed\n"
        family = running_with(mark)
        os.kill(trainer.pid, signal.SIGKILL)
    assert len(family) >= 4, "the trainer, the workers' server, two workers, and what the server needs"
    deadline = time.monotonic() + 60
    while (left := family & running_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "a worker outlives the trainer"


def test_signals_are_for_the_trainer_and_bad_input_in_a_worker_stays_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER + INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        capture_output=True, text=True, timeout=120, check=False, start_new_session=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["fed", "True", "noise.wav is silent."], done.stderr
