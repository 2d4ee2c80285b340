"""Health in real runs of a tiny model: out of memory, a starved device, and the summary that ends every run."""

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training import QUIET, run_config

from rojak.errors import TrainingError
from rojak.evaluate.report.happened import happened_section
from rojak.runs import read_jsonl
from rojak.train import loop
from rojak.train.loop import train

SETTINGS = {
    **QUIET,
    "seed": 3,
    "batch_size": 6,
    "learning_rate": 2e-3,
    "lora_r": 4,
    "lora_dropout": 0.0,
    "windows": {"mode": "trim"},
    "stages": [{"name": "all", "max_steps": 2, "augment": {"time_masks": 1}}],
    "validation": {"every_steps": 2, "max_utterances": 4, "max_new_tokens": 8},
}


config = partial(run_config, SETTINGS)


def with_little_memory(monkeypatch: pytest.MonkeyPatch, most_rows: int) -> None:
    """Let memory run out, while gradients of the step's first part are there already, above so many windows."""
    compute = loop.token_losses

    def limited(network: torch.nn.Module, encoded: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if len(encoded) > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(network, encoded, *rest)

    monkeypatch.setattr(loop, "token_losses", limited)


def test_out_of_memory_changes_nothing_but_the_parts(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(tiny_dir, data_dir, tmp_path / "roomy"))
    with_little_memory(monkeypatch, most_rows=2)
    train(config(tiny_dir, data_dir, tmp_path / "tight"))
    ends = [load_file(tmp_path / name / "best" / "adapter_model.safetensors") for name in ("roomy", "tight")]
    assert all(torch.allclose(ends[0][key], ends[1][key], atol=1e-5) for key in ends[0])
    rows = read_jsonl(tmp_path / "tight" / "log.jsonl")
    assert [row["kind"] for row in rows if row["event"] == "health"] == ["out_of_memory"]
    losses = [
        [row["loss"] for row in read_jsonl(tmp_path / name / "log.jsonl") if row["event"] == "train"]
        for name in ("roomy", "tight")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    # The report shows what the run said of itself.
    summary = next(row for row in rows if row["event"] == "summary")
    assert any("memory ran out" in line for line in summary["lines"])
    assert "memory ran out" in happened_section(tmp_path / "tight" / "log.jsonl")


def test_when_one_window_does_not_fit_the_run_ends_and_says_what_happened(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_little_memory(monkeypatch, most_rows=0)
    with pytest.raises(TrainingError, match="Not even a single window fits"):
        train(config(tiny_dir, data_dir, tmp_path / "run"))
    summary = read_jsonl(tmp_path / "run" / "log.jsonl")[-1]
    assert summary["event"] == "summary"
    assert summary["lines"][0].startswith("It failed after step 0: Not even a single window fits")
