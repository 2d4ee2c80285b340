"""What we call of Unsloth is there in the released package, whose source is read and not run."""

import ast
import importlib.util
import os
import zipfile
from pathlib import Path

import pytest
import torch

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError, MissingExtraError
from rojak.model.unsloth import adapter_arguments, load_arguments, load_with_unsloth

CONFIG = TrainConfig(dataset_path="data", output_dir="run", backend="unsloth")


def released_source(name: str) -> str:
    """Read a file of the package: the installed one, or that of a wheel named in ROJAK_UNSLOTH_WHEEL."""
    wheel = os.environ.get("ROJAK_UNSLOTH_WHEEL")
    if wheel:
        return zipfile.ZipFile(wheel).read(f"unsloth/{name}").decode()
    found = importlib.util.find_spec("unsloth")
    if found is None or found.origin is None:
        pytest.skip("no Unsloth here: pip download --no-deps unsloth, and name the wheel in ROJAK_UNSLOTH_WHEEL")
    return (Path(found.origin).parent / name).read_text()


def arguments_of(source: str, class_name: str, function: str) -> set[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == function:
                    return {argument.arg for argument in part.args.args}
    raise AssertionError(f"{class_name}.{function} is gone")


def test_loading_calls_what_the_release_has() -> None:
    known = arguments_of(released_source("models/loader.py"), "FastModel", "from_pretrained")
    assert set(load_arguments(CONFIG, "openai/whisper-small", torch.float16)) <= known


def test_adapting_calls_what_the_release_has() -> None:
    assert "model" in arguments_of(released_source("models/loader.py"), "FastModel", "get_peft_model")
    known = arguments_of(released_source("models/vision.py"), "FastBaseModel", "get_peft_model")
    assert set(adapter_arguments(CONFIG)) <= known
    assert adapter_arguments(CONFIG)["task_type"] is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a CUDA GPU"):
        load_with_unsloth(CONFIG, torch.float16)


def test_without_the_package_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"rojak\[unsloth\]"):
        load_with_unsloth(CONFIG, torch.float16)


@pytest.mark.parametrize("changes", [{"adapter": "none"}, {"use_dora": True}])
def test_what_it_cannot_do_is_refused_before(changes: dict) -> None:
    with pytest.raises(ValueError, match="backend: unsloth is for LoRA"):
        TrainConfig.model_validate({"dataset_path": "d", "output_dir": "r", "backend": "unsloth", **changes})
