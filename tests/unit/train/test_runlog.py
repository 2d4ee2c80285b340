import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rojak.config.schema import TrainConfig
from rojak.errors import InputError, MissingExtraError
from rojak.runs import read_jsonl
from rojak.train.flops import peak_flops
from rojak.train.push import is_folder_name, push
from rojak.train.runlog import RunLog, Throughput


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate({"dataset_path": "data", "output_dir": "run", "tensorboard": False, **changes})


def test_speeds_are_over_the_steps_since_the_last_reading() -> None:
    meter = Throughput(peak=100.0)
    for seconds in (1.0, 3.0):
        meter.add({"audio_s": 20.0, "tokens": 8, "flops": 40.0}, seconds)
    read = meter.read(steps_left=5)
    assert read == {"audio_s_per_s": 10.0, "tokens_per_s": 4.0, "eta_s": 10.0, "flops_utilisation": 0.2}
    meter.add({"audio_s": 6.0, "tokens": 2, "flops": 10.0}, 2.0)
    assert meter.read(steps_left=0)["audio_s_per_s"] == 3.0


def test_peaks_are_known_by_the_gpu_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_flops(torch.device("cpu")) is None
    known = [("NVIDIA H200", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312), ("Tesla T4", 65)]
    for name, tflops in known:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        assert peak_flops(torch.device("cuda"), 2) == pytest.approx(2e12 * tflops)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Another GPU")
    assert peak_flops(torch.device("cuda")) is None


def test_numbers_are_mirrored_to_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []
    run = SimpleNamespace(
        define_metric=lambda name, step_metric: calls.append(("axis", step_metric)),
        log=lambda numbers: calls.append(("log", numbers)),
        finish=lambda: calls.append(("finish", None)),
    )
    fake = SimpleNamespace(init=lambda **arguments: calls.append(("init", arguments)) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with RunLog(tmp_path, 0, 10, config(wandb="offline")) as log:
        log.event("train", step=3, loss=0.5, stage="all")
    assert calls[0][1]["mode"] == "offline"
    assert calls[0][1]["dir"] == str(tmp_path)
    assert calls[1:] == [("axis", "step"), ("log", {"train/loss": 0.5, "step": 3}), ("finish", None)]


def test_weights_and_biases_really_writes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed: pip install 'rojak[wandb]'")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with RunLog(tmp_path, 0, 10, config(wandb="offline")) as log:
        log.event("train", step=1, loss=0.5)
    assert list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))


def test_without_weights_and_biases_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"rojak\[wandb\]"):
        RunLog(tmp_path, 0, 10, config(wandb="offline"))


def test_a_quiet_log_writes_and_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path, 0, 10, config(tensorboard=True), quiet=True) as log:
        log.event("train", step=1, loss=0.5)
        log.say("hello")
        log.show_step("all", {"loss": 0.5, "audio_s_per_s": 1.0, "eta_s": 1.0, "step": 1})
    assert not list(tmp_path.iterdir())
    assert not "".join(capfd.readouterr())


def make_best(run: Path) -> None:
    (run / "best").mkdir(parents=True)
    (run / "best" / "adapter_model.safetensors").write_bytes(b"weights")
    (run / "best" / "README.md").write_text("peft's own card")


def test_the_best_model_is_copied_with_its_card(tmp_path: Path) -> None:
    make_best(tmp_path / "run")
    target = tmp_path / "given"
    target.mkdir()
    (target / "old").write_text("x")
    said = push(tmp_path / "run", config(push_to=str(target), use_4bit=True, max_hours=10), "WER 9.0 %")
    assert str(target) in said
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "adapter_model.safetensors"]
    card = (target / "README.md").read_text()
    assert card.startswith("---\nbase_model: rojak-micro\nlibrary_name: peft\n")
    assert "A QLoRA adapter of `rojak-micro`, trained with Rojak on 10 hours of `data`" in card
    assert "WER 9.0 %" in card
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["best"]


def test_the_hub_gets_a_private_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    make_best(tmp_path / "run")
    calls: list[Any] = []

    class Api:
        def create_repo(self, repo_id: str, **arguments: Any) -> str:
            calls.append((repo_id, arguments))
            return f"https://hub/{repo_id}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            calls.append((repo_id, sorted(path.name for path in folder_path.iterdir())))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert "https://hub/me/model" in push(tmp_path / "run", config(push_to="me/model"), "WER 9.0 %")
    assert calls == [
        ("me/model", {"private": True, "exist_ok": True}),
        ("me/model", ["README.md", "adapter_model.safetensors"]),
    ]

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("401 Unauthorized\nmore")

    monkeypatch.setattr(Api, "create_repo", refuse)
    with pytest.raises(InputError, match=r"could not be pushed to 'me/model' \(401 Unauthorized\)"):
        push(tmp_path / "run", config(push_to="me/model"), "WER 9.0 %")


@pytest.mark.parametrize(
    ("target", "folder"), [("/a/b", True), ("./a", True), ("../a", True), ("~/a", True), ("me/model", False)]
)
def test_a_folder_is_told_from_a_hub_id(target: str, folder: bool) -> None:
    assert is_folder_name(target) is folder


def test_steps_that_are_done_again_are_forgotten(tmp_path: Path) -> None:
    rows = [{"event": "train", "step": step} for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with RunLog(tmp_path, 2, 10, config()):
        pass
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 4, 20, 45])
def test_a_line_that_a_kill_cut_short_is_not_joined_to_the_next(cut: int, tmp_path: Path) -> None:
    """Cut off are the line's end alone, the end of a character, half of the line, or all of it."""
    rows = [{"event": "train", "step": step, "said": "lah 好"} for step in (1, 2, 3)]
    path = tmp_path / "log.jsonl"
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()[:-cut])
    whole = rows if cut == 1 else rows[:2]
    with RunLog(tmp_path, 3, 10, config()) as log:
        assert read_jsonl(path) == whole
        log.event("train", step=4)
        log.event("train", step=5)
    told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert told[: len(whole)] == whole
    assert [row["step"] for row in told[len(whole) :]] == [4, 5]
