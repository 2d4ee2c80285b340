"""Kill a training run with SIGKILL at random moments, also while a checkpoint is written, until it has finished.

    python benchmarks/kill_and_continue.py [--kills 20] [--seed 1] [--work DIR]

Makes a small corpus, trains `rojak-micro` with a checkpoint after every step, and kills the same command again and
again. In the end the weights, the optimiser and the losses must be those of a run left in peace.
Exits with 1 when they are not.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.runs import append_jsonl, read_jsonl

SETTINGS = {
    "batch_size": 2,
    "lora_r": 8,
    "lora_dropout": 0.1,
    "learning_rate": 1.0e-3,
    "windows": {"mode": "trim"},
    "validation": {"every_steps": 25, "max_utterances": 2, "max_new_tokens": 4},
    "checkpoint_every_steps": 1,
    "log_every_steps": 1,
    "tensorboard": False,
}
STEPS_A_KILL = 3
"""Steps that a part of the run may take before it is killed, at most; starting takes far longer than a step."""
KILLS_FILE = "kills.jsonl"
NUM_FILES = 6
"""Of a checkpoint: half of the kills wait for one that is being written and holds a random number of its files."""


def main() -> None:
    """Run in peace, then under fire, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="A folder to keep; called again, it goes on from what is there.")
    arguments = parser.parse_args()
    with nullcontext(arguments.work) if arguments.work else tempfile.TemporaryDirectory() as folder:
        same, kills = kill_and_compare(Path(folder), arguments.kills, arguments.seed)
    saving = sum(kill["unfinished"] is not None for kill in kills)
    verdict = "equal" if same else "NOT equal"
    print(f"{len(kills)} kills ({saving} inside a checkpoint's writing); weights, optimiser, losses {verdict}.")
    sys.exit(0 if same else 1)


def kill_and_compare(work: Path, num_kills: int, seed: int) -> tuple[bool, list[dict[str, Any]]]:
    """Do what is not done yet; say whether both runs came to the same, and what every kill met."""
    if not (work / "data").is_dir():
        synthesize(work / "corpus", 0.03, 5, show_progress=False)
        prepare(work / "corpus", work / "data", workers=0)
    steps = num_kills * STEPS_A_KILL + 5
    peace, fire = command(work, "peace", steps), command(work, "fire", steps)
    if last_step(work / "peace") < steps:
        subprocess.run(peace, check=True, stderr=subprocess.DEVNULL)
    for number in range(len(read_jsonl(work / KILLS_FILE)), num_kills):
        reached, unfinished = kill_once(fire, work / "fire", random.Random(f"{seed} {number}"))
        append_jsonl(work / KILLS_FILE, {"step": reached, "unfinished": unfinished})
        where = "" if unfinished is None else f", inside a checkpoint that held {', '.join(unfinished) or 'nothing'}"
        print(f"kill {number + 1}: after step {reached}{where}", flush=True)
    subprocess.run(fire, check=True, stderr=subprocess.DEVNULL)
    return everything_is_equal(work / "peace", work / "fire"), read_jsonl(work / KILLS_FILE)


def command(work: Path, name: str, steps: int) -> list[str]:
    """Write the configuration of a run; give the command that starts or continues it."""
    paths = {"dataset_path": str(work / "data"), "output_dir": str(work / name)}
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | paths | {"stages": [{"name": "all", "max_steps": steps}]}))
    return [sys.executable, "-m", "rojak.cli", "train", str(path)]


def kill_once(start: list[str], run: Path, rng: random.Random) -> tuple[int, list[str] | None]:
    """Start the run, let it take a step or more, and kill it.

    Returns:
        How far it came, and the files of the checkpoint that was being written, None when none was.
    """
    wanted, files, pauses = last_step(run) + rng.randint(1, STEPS_A_KILL - 1), rng.randrange(NUM_FILES), rng.random()
    process = subprocess.Popen(start, stderr=subprocess.DEVNULL)
    while process.poll() is None and last_step(run) < wanted:
        time.sleep(0.005)
    if rng.random() < 0.5:
        while process.poll() is None and ((held := unfinished_files(run)) is None or len(held) < files):
            time.sleep(0.0005)
    else:
        time.sleep(pauses * seconds_a_step(run))
    process.kill()
    if process.wait() != -signal.SIGKILL:
        sys.exit("The run ended before it could be killed; choose fewer steps a kill.")
    return last_step(run), unfinished_files(run)


def unfinished_files(run: Path) -> list[str] | None:
    """Name the files of the checkpoint that is being written; None when none is."""
    parts = list((run / "checkpoints").glob(".*.part"))
    # Not `rglob`, which may meet a folder that has just been renamed.
    return sorted(name for _, _, names in os.walk(parts[0]) for name in names) if parts else None


def seconds_a_step(run: Path) -> float:
    """Give the median time from a step to the next in a run's log, saving included."""
    times = [row["time"] for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"]
    return statistics.median([later - earlier for earlier, later in pairwise(times)] or [0.0])


def last_step(run: Path) -> int:
    """Give the last step in a run's log."""
    return max((row["step"] for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"), default=0)


def everything_is_equal(first: Path, second: Path) -> bool:
    """Compare the newest checkpoints byte by byte, and the losses of all steps."""
    newest = (first / "checkpoints" / "LATEST").read_text().strip()
    files = ("model/adapter_model.safetensors", "optimizer.safetensors")
    saved = [[(run / "checkpoints" / newest / name).read_bytes() for name in files] for run in (first, second)]
    losses = [
        [(row["step"], row["loss"]) for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"]
        for run in (first, second)
    ]
    return saved[0] == saved[1] and losses[0] == losses[1]


if __name__ == "__main__":
    main()
