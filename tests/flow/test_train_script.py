"""`scripts/train.sh` calls train and evaluate with the flags that it was given."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.sh"


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """Put a `rojak` on the way that writes down how it was called."""
    rojak = tmp_path / "bin" / "rojak"
    rojak.parent.mkdir()
    rojak.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "calls"}\n')
    rojak.chmod(0o755)
    return rojak


def call(stub: Path, *flags: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([SCRIPT, *flags], env={"PATH": path}, capture_output=True, text=True, check=False)
    calls = stub.parents[1] / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_it_trains_and_evaluates(stub: Path) -> None:
    flags = "--model_name m --dataset_path d --output_dir o --num_epochs 2 --batch_size 8"
    flags += " --gradient_accumulation_steps 4 --learning_rate 1e-4 --lora_r 32 --lora_alpha 64"
    done, calls = call(stub, *flags.split(), "--use_4bit", "--test_dataset", "t")
    assert done.returncode == 0, done.stderr
    assert calls == [f"train {flags} --use_4bit", "evaluate o t"]


def test_booleans_are_taken_in_words(stub: Path) -> None:
    _, calls = call(stub, "--use_4bit", "false", "--dataset_path", "d", "--output_dir", "o")
    assert calls == ["train --no-use_4bit --dataset_path d --output_dir o", "evaluate o d"]


def test_it_evaluates_alone(stub: Path) -> None:
    _, calls = call(stub, "--model_path", "runs/first", "--test_dataset", "data")
    assert calls == ["evaluate runs/first data"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--lora_rank 3", "unknown flag"),
        ("--lora_r", "needs a value"),
        ("--dataset_path d", "needs --output_dir"),
        ("", "give"),
    ],
)
def test_mistakes_get_a_sentence(flags: str, said: str, stub: Path) -> None:
    done, calls = call(stub, *flags.split())
    assert done.returncode == 2
    assert said in done.stderr
    assert not calls
