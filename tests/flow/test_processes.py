"""Several processes are one: same samples, same steps; a dead one stops all, and any number of them goes on."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from rojak.config.schema import TrainConfig
from rojak.runs import read_jsonl
from rojak.train.loop import train

STOP_AT = 4
WORKER = """
import os, signal, sys
from pathlib import Path
from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.errors import RojakError
from rojak.train import loop

take_step = loop.Trainer._step
def step(self, *arguments):
    if self.state.step + 1 == {stop_at} and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(self, *arguments)

loop.Trainer._step = step
try:
    loop.train(load_config(TrainConfig, Path(sys.argv[1])))
except RojakError as error:
    sys.exit(str(error))
"""


def config(tiny_dir: Path, data_dir: Path, run: Path) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "model_name": str(tiny_dir),
            "dataset_path": str(data_dir),
            "output_dir": str(run),
            "batch_size": 6,
            "gradient_accumulation_steps": 2,
            "learning_rate": 2e-3,
            "lora_r": 4,
            "lora_dropout": 0.1,
            "windows": {"mode": "mixed", "num_processes": 2},
            "stages": [{"name": "all", "max_steps": 6, "augment": {"time_masks": 1, "gain_db": [-3, 3]}}],
            "validation": {"every_steps": 3, "max_utterances": 4, "max_new_tokens": 8},
            "checkpoint_every_steps": 1,
            "log_every_steps": 1,
            "tensorboard": False,
            "precision": "fp32",
        }
    )


def steps_of(run: Path) -> list[dict]:
    return [row for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"]


def test_two_processes_are_one_and_one_goes_on_where_two_were_killed(
    tiny_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(config(tiny_dir, data_dir, alone))

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config(tiny_dir, data_dir, together).model_dump(mode="json")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER.format(stop_at=STOP_AT), str(path)],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [worker.communicate(timeout=200)[1] for worker in workers]
    assert workers[1].returncode == -9, said[1]
    assert workers[0].returncode == 1, said[0]
    assert "Another process of this run ended" in said[0]
    assert "continues from the newest checkpoint" in said[0]
    assert [row["step"] for row in steps_of(together)] == list(range(1, STOP_AT))

    train(config(tiny_dir, data_dir, together))
    for one, two in zip(steps_of(alone), steps_of(together), strict=True):
        for name in ("step", "tokens", "audio_s", "padding_share"):
            assert one[name] == pytest.approx(two[name], rel=1e-9), name
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    weights = [
        load_file(run / "checkpoints" / "step-00000006" / "model" / "adapter_model.safetensors")
        for run in (alone, together)
    ]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
