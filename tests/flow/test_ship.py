"""The whole way out: train, merge, every export, verify, transcribe, package; with 80 mels (4-bit training) and 128."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from commands import rojak
from peft import PeftModel

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesis_plan import CLEAN_MONOLINGUAL
from rojak.data.synthesize import synthesize
from rojak.export.folder import ExportRecord, Format, read_export, write_export
from rojak.export.merge import merge
from rojak.export.runtime import open_model
from rojak.model.adapters import load_any
from rojak.model.micro import build_tokenizer, build_untrained
from rojak.model.whisper import encode_audio, load_whisper, save_whisper
from rojak.train.loop import train

QUICK = ("--max-clips", 3, "--max-new-tokens", 24)
FORMATS = {"ct2": "float32", "onnx": "float32", "ggml": "f16"}
WITHOUT = [
    name for name, module in (("onnx", "onnxscript"), ("ggml", "pywhispercpp")) if not importlib.util.find_spec(module)
]


def train_run(model: str, data_dir: Path, run: Path, **changes: object) -> Path:
    settings: dict[str, object] = {
        "model_name": model,
        "dataset_path": str(data_dir),
        "output_dir": str(run),
        "batch_size": 4,
        "learning_rate": 2e-3,
        "lora_r": 4,
        "lora_alpha": 8,
        "windows": {"mode": "trim"},
        "stages": [{"name": "all", "max_steps": 2}],
        "validation": {"every_steps": 2, "max_utterances": 2, "max_new_tokens": 4},
        "tensorboard": False,
    }
    train(TrainConfig.model_validate(settings | changes))
    return run


@pytest.fixture(scope="module")
def clear_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips that the embedded model understands: on others the least difference of features changes its words."""
    folder = tmp_path_factory.mktemp("clear")
    synthesize(folder / "corpus", 0.02, 5, settings=CLEAN_MONOLINGUAL, workers=1, show_progress=False)
    prepare(folder / "corpus", folder / "data", workers=0)
    return folder / "data"


@pytest.fixture(scope="module")
def small_run(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model (80 mels) after two steps of QLoRA: it still understands the clips."""
    pytest.importorskip("bitsandbytes")
    return train_run("rojak-micro", data_dir, tmp_path_factory.mktemp("ship") / "run", use_4bit=True)


@pytest.fixture(scope="module")
def large_run(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as large-v3 in everything but size (128 mels, 51866 tokens, random weights) after two steps of LoRA."""
    folder = tmp_path_factory.mktemp("ship")
    texts = [utterance.text for utterance in Dataset(data_dir, ("train",)).utterances]
    size = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 128, "init_std": 0.3}
    whisper = build_untrained("large", build_tokenizer(texts, 400, filled_up_to=50257), 4, **size, **heads)
    save_whisper(whisper, folder / "large")
    return train_run(str(folder / "large"), data_dir, folder / "run", precision="fp32")


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_trained_run_leaves_for_every_program(
    size: str, clear_dir: Path, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Path = request.getfixturevalue(f"{size}_run")
    on = ("--data", clear_dir, *QUICK)
    assert rojak("merge", run, tmp_path / "merged", *on) == 0
    formats = {kind: dtype for kind, dtype in FORMATS.items() if kind not in WITHOUT}
    for kind, dtype in formats.items():
        # whisper.cpp computes its own features, and random weights tell the difference.
        check = ("--no-verify",) if (kind, size) == ("ggml", "large") else on
        assert rojak("export", run, tmp_path / kind, "--format", kind, "--dtype", dtype, *check) == 0
        record = read_export(tmp_path / kind, hashes=True)
        assert record.num_mels == (80 if size == "small" else 128)
        assert bool(record.verify) == (check is on)
    assert rojak("verify", run, tmp_path / "merged", *on) == 0
    assert rojak("verify", tmp_path / "merged", tmp_path / "ct2", *on) == 0
    capsys.readouterr()
    package = tmp_path / "package"
    exports = ",".join(f"{kind}:{dtype}" for kind, dtype in formats.items() if kind != "onnx")
    assert rojak("package", run, package, "--exports", exports, "--no-bench", *on) == 0
    assert rojak("package", "--check", package) == 0
    assert json.loads((package / "package.json").read_text())["exports"].keys() == {
        "model", *(f"{kind}-{formats[kind]}" for kind in formats if kind != "onnx")
    }  # fmt: skip
    capsys.readouterr()
    kinds = ("merged", *formats)
    said = {kind: _transcribed(package / "example" / "clip.wav", tmp_path / kind, capsys) for kind in kinds}
    said |= _readme_lines(package)
    assert said.keys() > {"readme: faster_whisper", "readme: transformers"}
    if size == "small":
        assert all(said.values())
        assert len(set(said.values())) == 1, f"not one text from every program: {said}"


def _transcribed(clip: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert rojak("transcribe", clip, "--model", model, "--language", "ms", "--no-vad", "--no-word-times") == 0
    return capsys.readouterr().out.strip()


def _readme_lines(package: Path) -> dict[str, str]:
    """Run each block of Python in a package's README where Rojak cannot be imported; give what it prints."""
    said = {}
    for block in re.findall(r"```python\n(.*?)```", (package / "README.md").read_text(), re.DOTALL):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.modules['rojak'] = None\n{block}"],
            cwd=package, env={"PATH": "/usr/bin", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        said["readme: faster_whisper" if "faster_whisper" in block else "readme: transformers"] = done.stdout.strip()
    return said


def test_a_four_bit_run_is_merged_into_sixteen_bits_and_says_the_same(small_run: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((small_run / "config.yaml").read_text())
    assert settings["use_4bit"] is True
    base = load_whisper("rojak-micro")
    adapted = PeftModel.from_pretrained(base.network, small_run / "best").eval()
    mel = torch.randn(2, 80, 300, generator=torch.manual_seed(2))
    inputs = torch.tensor([[*base.tokens.prompt("ms"), 5, 6, 7]] * 2)

    @torch.inference_mode()
    def logits(network: torch.nn.Module) -> torch.Tensor:
        hidden = network.model.decoder(input_ids=inputs, encoder_hidden_states=encode_audio(network, mel))
        return network.proj_out(hidden.last_hidden_state).float()

    wanted = logits(adapted.base_model.model)
    assert (wanted - logits(load_whisper("rojak-micro").network)).abs().max() > 0.1, "the adapter changes nothing"
    assert merge(str(small_run), tmp_path / "float32", "float32").dtype == "float32"
    assert (logits(load_any(str(tmp_path / "float32")).network) - wanted).abs().max() < 1e-3
    assert merge(str(small_run), tmp_path / "auto").dtype == "float16", "into the 16-bit base"
    rounded = logits(load_any(str(tmp_path / "auto")).network)
    assert (rounded - wanted).abs().max() < 1e-3 * wanted.abs().max()
    assert torch.equal(rounded.argmax(dim=2), wanted.argmax(dim=2))
    for path in (tmp_path / "auto", tmp_path / "float32"):
        assert not any("quant" in key for key in json.loads((path / "config.json").read_text()))
    assert open_model(tmp_path / "auto").num_mels == 80


@pytest.mark.parametrize(
    ("module", "kind", "wanted"),
    [("onnxscript", "onnx", "pip install 'rojak[onnx]'"), ("ctranslate2", "ct2", "pip install faster-whisper")],
)
def test_a_missing_extra_gets_one_sentence(
    module: str,
    kind: str,
    wanted: str,
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert rojak("export", tiny_dir, tmp_path / "out", "--format", kind) == 1
    said = capsys.readouterr().err
    assert wanted in said
    assert said.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("module", "kind", "wanted"),
    [
        ("ctranslate2", "ct2", "pip install faster-whisper"),
        ("onnxruntime", "onnx", "pip install onnxruntime"),
        ("pywhispercpp", "ggml", "pip install 'rojak[ggml]'"),
    ],
)
def test_a_missing_program_gets_one_sentence(
    module: str, kind: Format, wanted: str, clear_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    record = ExportRecord(kind, "float32", "rojak-micro", "0" * 64, 80, {})
    write_export(tmp_path, record)
    clip = next((clear_dir.parent / "corpus" / "test" / "audio").iterdir())
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert rojak("transcribe", clip, "--model", tmp_path, "--no-vad") == 1
    said = capsys.readouterr().err
    assert f"{tmp_path} needs {module} to run; install it with: {wanted}." in said
    assert said.strip().count("\n") == 0
