"""The doctor on a tiny model: every line well, a mend on what is not, the exit code, and nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from rojak.cli import app
from rojak.train import doctor

IN_SMALL = ["dataset", "model", "dtype", "adapter", "forward and backward", "checkpoint", "WER"]


@pytest.fixture
def examine(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(*flags: str, **changes: object) -> Result:
        paths = {"model_name": str(tiny_dir), "dataset_path": str(data_dir), "output_dir": str(tmp_path / "run")}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(paths | {"batch_size": 2, "lora_r": 4} | changes))
        return CliRunner().invoke(app, ["doctor", str(tmp_path / "config.yaml"), *flags])

    return run


def test_a_run_that_is_well(examine: Callable[..., Result], tmp_path: Path) -> None:
    result = examine("--json")
    lines = {check["name"]: check for check in json.loads(result.stdout)}
    assert [name for name in lines if name in IN_SMALL] == IN_SMALL
    bad = [check for check in lines.values() if check["state"] == "bad"]
    assert result.exit_code == bool(bad)
    assert not [check for check in bad if check["name"] in IN_SMALL]
    assert "written and read back at step 1" in lines["checkpoint"]["detail"]
    assert lines["GPU"]["state"] == "ok"  # none is well, too
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_what_is_missing_gets_a_mend_and_exit_code_1(examine: Callable[..., Result], tmp_path: Path) -> None:
    no_data = examine(dataset_path=str(tmp_path / "none"))
    assert no_data.exit_code == 1
    assert "✗ dataset: " in no_data.output
    assert "rojak prepare" in " ".join(no_data.output.split())
    assert "✓ model" not in no_data.output  # needs data
    no_model = examine(model_name=str(tmp_path / "no-model"))
    assert no_model.exit_code == 1
    assert "✗ model: " in no_model.output
    assert "✓ dataset: " in no_model.output
    assert "✗ output_dir: " in examine(output_dir=str(tmp_path / "config.yaml" / "run")).output


def test_ids_of_a_larger_vocabulary_and_strange_errors_are_no_traceback(
    examine: Callable[..., Result], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small model often keeps the begin_suppress_tokens that transformers gives every Whisper."""
    model = tmp_path / "model"
    shutil.copytree(tiny_dir, model)
    settings = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps(settings | {"begin_suppress_tokens": [220, 50256]}))
    assert "✓ WER: " in examine(model_name=str(model)).output

    def fail(_: object) -> str:
        raise IndexError("out of bounds")

    monkeypatch.setattr(doctor, "_wer", fail)
    result = examine()
    assert result.exit_code == 1
    assert "✗ WER: out of bounds → see docs/troubleshooting.md" in " ".join(result.output.split())


def test_an_adapter_of_a_tenth_and_more_of_a_large_model_is_told(
    examine: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SMALL_MODEL", 1000)
    result = examine("--json", lora_r=64)
    assert result.exit_code == 1
    adapter = next(check for check in json.loads(result.stdout) if check["name"] == "adapter")
    assert (adapter["state"], adapter["mend"]) == ("bad", "lower lora_r (now 64) for less than 10%")


def test_a_package_outside_its_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(_: str) -> list[str]:
        return ["torch>=99", "not-there-at-all>=1", "numpy", "wandb; extra == 'wandb'"]

    monkeypatch.setattr(doctor.importlib.metadata, "requires", requires)
    found = list(doctor._packages())
    assert [(check.name, check.state) for check in found] == [("torch", "bad"), ("not-there-at-all", "bad")]
    assert [check.mend for check in found] == ["pip install 'torch>=99'", "pip install 'not-there-at-all>=1'"]
