"""What only a CUDA device can show; skipped aloud without one."""

from pathlib import Path

import pytest
import torch

from rojak.config.schema import TrainConfig
from rojak.runs import read_jsonl
from rojak.train.loop import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.mark.parametrize("changes", [{}, {"use_4bit": True}, {"adapter": "none"}], ids=["lora", "qlora", "full"])
def test_a_few_steps_on_the_device(changes: dict, tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    settings = {
        "model_name": str(tiny_dir),
        "dataset_path": str(data_dir),
        "output_dir": str(tmp_path / "run"),
        "batch_size": 4,
        "stages": [{"name": "all", "max_steps": 20}],
        "learning_rate": 5e-3,
        "validation": {"max_utterances": 4, "max_new_tokens": 8},
        "log_every_steps": 1,
        "tensorboard": False,
    }
    train(TrainConfig.model_validate(settings | changes))
    losses = [row["loss"] for row in read_jsonl(tmp_path / "run" / "log.jsonl") if row["event"] == "train"]
    assert sum(losses[-3:]) / 3 < losses[0]
