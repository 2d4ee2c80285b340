"""A fine-tuned model leaves as files that other programs load, and they say the same: tiny models, 80 and 128 mels."""

import importlib.util
import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import WhisperTokenizer

from rojak.audio import Samples, decode_audio
from rojak.cli import main
from rojak.data.dataset import Dataset
from rojak.errors import InputError
from rojak.export import ggml
from rojak.export.ctranslate2 import write_ct2
from rojak.export.export import data_of, export_model, verify_models
from rojak.export.folder import EXPORT_FILE, read_export
from rojak.export.merge import merge
from rojak.export.openai import weight_name
from rojak.export.plain import source_hash, write_plain
from rojak.export.runtime import Runtime, RuntimeOptions, open_model
from rojak.export.runtimes.batches import open_front
from rojak.export.verify import Clip
from rojak.model.adapters import load_any
from rojak.model.micro import build_tokenizer, build_untrained
from rojak.model.whisper import Whisper, encode_audio, load_whisper, save_whisper

SHORT = RuntimeOptions(max_new_tokens=10)
TRIMMED = replace(SHORT, context="trim")


def sounds() -> list[Samples]:
    """Clips of several lengths that random weights tell apart."""
    rng = np.random.default_rng(5)
    lengths = (0.6, 1.1, 2.7, 4.0)
    return [
        (0.3 * np.sin(np.cumsum(rng.uniform(0.02, 0.4, int(16000 * seconds)))) * rng.uniform(0.1, 1)).astype(np.float32)
        for seconds in lengths
    ]


def tokens_of(runtime: Runtime, options: RuntimeOptions = SHORT) -> list[tuple[int, ...]]:
    return [heard.tokens for heard in runtime.transcribe(sounds(), "ms", options)]


@pytest.fixture(scope="module")
def large_dir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As large-v3 in everything but size: 128 mels, OpenAI's 51866 tokens (most of them meaningless here)."""
    texts = [utterance.text for utterance in Dataset(data_dir, ("train",)).utterances]
    whisper = build_untrained(
        "large",
        build_tokenizer(texts, 400, filled_up_to=50257),
        4,
        num_mel_bins=128,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        init_std=0.3,
    )
    tokens = whisper.tokens
    assert (whisper.network.config.vocab_size, tokens.end, tokens.timestamp_begin) == (51866, 50257, 50365)
    folder = tmp_path_factory.mktemp("models") / "large"
    save_whisper(whisper, folder)
    return folder


@pytest.fixture(scope="module")
def run_dir(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as QLoRA training leaves it: its record and an adapter that changes the base."""
    run = tmp_path_factory.mktemp("runs") / "run"
    base = load_whisper(str(tiny_dir))
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    base.network.name_or_path = str(tiny_dir)
    torch.manual_seed(1)
    get_peft_model(base.network, settings).save_pretrained(run / "best")
    record = {"model_name": str(tiny_dir), "use_4bit": True, "dataset_path": "nowhere"}
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    return run


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_merged_equals_the_adapter(run_dir: Path, tiny_dir: Path, tmp_path: Path, dtype: str) -> None:
    record = merge(str(run_dir), tmp_path / "merged", dtype)
    assert record.dtype == ("float16" if dtype == "auto" else dtype), "QLoRA merges into a 16-bit base"
    base, merged = load_whisper(str(tiny_dir)), load_any(str(tmp_path / "merged"))
    adapted = PeftModel.from_pretrained(base.network, run_dir / "best").eval()
    mel = torch.randn(2, 80, 300, generator=torch.manual_seed(2))
    inputs = torch.tensor([[*base.tokens.prompt("ms"), 5, 6, 7]] * 2)
    logits = []
    for network in (adapted.base_model.model, merged.network, load_whisper(str(tiny_dir)).network):
        with torch.inference_mode():
            hidden = network.model.decoder(input_ids=inputs, encoder_hidden_states=encode_audio(network, mel))
            logits.append(network.proj_out(hidden.last_hidden_state))
    assert (logits[0] - logits[1]).abs().max() < 1e-3
    assert (logits[0] - logits[2]).abs().max() > 0.1, "the adapter changes nothing, so nothing was tested"
    assert tokens_of(open_model(run_dir)) == tokens_of(open_model(tmp_path / "merged"))
    assert source_hash(str(run_dir)) == source_hash(str(tmp_path / "merged")) == record.source_sha256


def test_a_run_without_an_adapter_is_merged(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "run" / "best")
    assert merge(str(tmp_path / "run"), tmp_path / "merged").dtype == "float32"
    assert tokens_of(open_model(tmp_path / "merged")) == tokens_of(open_model(tiny_dir))


def test_a_merged_folder_has_what_anybody_asks_for(run_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "merged"
    merge(str(run_dir), folder)
    whisper = load_whisper(str(folder))
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings["no_timestamps_token_id"] == whisper.tokens.no_timestamps
    assert "forced_decoder_ids" not in settings
    config = json.loads((folder / "config.json").read_text())
    assert not config.get("begin_suppress_tokens"), "ids of another vocabulary"
    assert json.loads((folder / "preprocessor_config.json").read_text())["feature_size"] == 80
    processor = json.loads((folder / "processor_config.json").read_text())
    assert processor["feature_extractor"]["feature_size"] == 80
    text, added = (json.loads((folder / name).read_text()) for name in ("vocab.json", "added_tokens.json"))
    assert sorted([*text.values(), *added.values()]) == list(range(len(whisper.tokens.tokenizer)))
    assert added["<|notimestamps|>"] == whisper.tokens.no_timestamps
    assert (folder / "merges.txt").read_text().startswith("#version")
    assert all(path.stat().st_mode & 0o044 for path in folder.iterdir() if path.name != EXPORT_FILE)
    old = WhisperTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    assert old.encode("saya makan", add_special_tokens=False) == whisper.tokens.tokenizer.encode(
        "saya makan", add_special_tokens=False
    )


@pytest.mark.parametrize(
    ("model", "dtype"), [("tiny", "float32"), ("tiny", "int8"), ("large", "float16"), ("large", "int8_float16")]
)
def test_ctranslate2_says_the_same_and_faster_whisper_loads_it(
    model: str, dtype: str, tiny_dir: Path, large_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ctranslate2")
    faster_whisper = pytest.importorskip("faster_whisper")
    source = tiny_dir if model == "tiny" else large_dir
    record = export_model(str(source), tmp_path / "ct2", "ct2", dtype)
    runtime = open_model(tmp_path / "ct2", "cpu")
    assert (runtime.kind, runtime.num_mels) == ("ct2", 80 if model == "tiny" else 128)
    if dtype.startswith("float"):
        for options in (SHORT, TRIMMED):
            original = open_model(source).transcribe(sounds(), None, options)
            heard = runtime.transcribe(sounds(), None, options)
            assert [clip.tokens for clip in heard] == [clip.tokens for clip in original]
            assert [clip.language for clip in heard] == [clip.language for clip in original]
    peer = faster_whisper.WhisperModel(str(tmp_path / "ct2"), device="cpu", cpu_threads=1)
    assert peer.model.is_multilingual
    assert peer.feature_extractor.mel_filters.shape[0] == record.num_mels
    # A whole window: faster-whisper pads features with zeros where Whisper was trained on silence.
    window = np.resize(sounds()[3], 30 * 16000)
    segments, info = peer.transcribe(
        window,
        language="ms",
        beam_size=1,
        temperature=0.0,
        suppress_tokens=open_front(tmp_path / "ct2").forbidden,
        without_timestamps=True,
        max_new_tokens=2 * 6 - 4,  # CTranslate2 halves the sum of this and the prompt
        no_speech_threshold=None,
        log_prob_threshold=None,
        compression_ratio_threshold=None,
    )
    assert info.language == "ms"
    (heard,) = runtime.transcribe([window], "ms", RuntimeOptions(max_new_tokens=6))
    assert [token for segment in segments for token in segment.tokens] == list(heard.tokens) != []


def test_faster_whisper_forbids_no_plain_space(tiny_dir: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("faster_whisper.tokenizer")
    pytest.importorskip("ctranslate2")
    write_plain(load_whisper(str(tiny_dir)), tmp_path / "plain")
    (tmp_path / "ct2").mkdir()
    write_ct2(tmp_path / "plain", tmp_path / "ct2", "int8")
    backend = tokenizers.tokenizers.Tokenizer.from_file(str(tmp_path / "ct2" / "tokenizer.json"))
    peer = tokenizers.Tokenizer(backend, multilingual=True, task="transcribe", language="ms")
    assert backend.token_to_id("Ġ") not in peer.non_speech_tokens


@pytest.mark.parametrize(("model", "dtype"), [("tiny", "float32"), ("large", "int8")])
def test_onnx_says_the_same(model: str, dtype: str, tiny_dir: Path, large_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    source = tiny_dir if model == "tiny" else large_dir
    export_model(str(source), tmp_path / "onnx", "onnx", dtype)
    runtime = open_model(tmp_path / "onnx", "cpu")
    assert (runtime.kind, runtime.num_mels) == ("onnx", 80 if model == "tiny" else 128)
    for options in (SHORT, TRIMMED, replace(TRIMMED, batch_seconds=1)):
        heard = runtime.transcribe(sounds(), None, options)
        original = open_model(source).transcribe(sounds(), None, options)
        assert [len(clip.tokens) for clip in heard] == [len(clip.tokens) for clip in original]
        if dtype == "float32":
            assert [clip.tokens for clip in heard] == [clip.tokens for clip in original]
            assert [clip.language for clip in heard] == [clip.language for clip in original]
            means = [clip.avg_logprob for clip in original]
            assert [clip.avg_logprob for clip in heard] == pytest.approx(means, abs=1e-3)


def read_ggml(path: Path) -> tuple[tuple[int, ...], np.ndarray, list[bytes], dict[str, np.ndarray]]:
    """Read whisper.cpp's format: settings, filters, vocabulary, weights as float32."""
    data, place = path.read_bytes(), 0

    def take(form: str) -> tuple:
        nonlocal place
        values = struct.unpack_from("<" + form, data, place)
        place += struct.calcsize("<" + form)
        return values

    def values(count: int, kind: int) -> np.ndarray:
        nonlocal place
        block = {0: 4, 1: 2, 6: 22 / 32, 8: 34 / 32}[kind]
        raw = np.frombuffer(data, np.uint8, int(count * block), place)
        place += len(raw)
        if kind < 2:
            return raw.view("<f4" if kind == 0 else "<f2").astype(np.float32)
        rows = raw.reshape(-1, 22 if kind == 6 else 34)
        scale = rows[:, :2].copy().view("<f2").astype(np.float32)
        if kind == 8:
            return (rows[:, 2:].view(np.int8) * scale).ravel()
        low = np.concatenate([rows[:, 6:] & 15, rows[:, 6:] >> 4], axis=1).astype(np.int32)
        high = np.unpackbits(rows[:, 2:6].copy(), axis=1, bitorder="little").astype(np.int32)
        return ((low + 16 * high - 16) * scale).ravel()

    magic, *settings = take("I11i")
    assert magic == 0x67676D6C
    num_mels, num_bins = take("2i")
    filters = values(num_mels * num_bins, 0).reshape(num_mels, num_bins)
    vocabulary = []
    for _ in range(take("i")[0]):
        (length,) = take("i")
        vocabulary.append(data[place : place + length])
        place += length
    weights = {}
    while place < len(data):
        dimensions, length, kind = take("3i")
        shape = take(f"{dimensions}i")[::-1]
        name = data[place : place + length].decode()
        place += length
        weights[name] = values(int(np.prod(shape)), kind).reshape(shape)
    return tuple(settings), filters, vocabulary, weights


@pytest.mark.parametrize(("dtype", "tolerance"), [("f16", 1e-3), ("q8_0", 0.005), ("q5_0", 0.07)])
def test_ggml_holds_the_model(dtype: str, tolerance: float, large_dir: Path, tmp_path: Path) -> None:
    record = export_model(str(large_dir), tmp_path / "ggml", "ggml", dtype)
    settings, filters, vocabulary, weights = read_ggml(tmp_path / "ggml" / f"ggml-{dtype}.bin")
    assert settings == (51866, 1500, 32, 2, 1, 448, 32, 2, 2, 128, ggml.FILE_TYPES[dtype])
    whisper = load_whisper(str(large_dir))
    assert np.array_equal(filters, whisper.extractor.mel_filters.T.astype(np.float32))
    ids = whisper.tokens.encode("saya nak 我 makan")
    assert b"".join(vocabulary[token] for token in ids) == " saya nak 我 makan".encode()
    assert len(vocabulary) == 50257
    state = whisper.network.model.state_dict()
    assert len(weights) == len(state)
    for name, tensor in state.items():
        found = weights[weight_name(name)]
        expected = tensor.numpy().reshape(found.shape)
        assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max()), name
    assert record.num_mels == 128


@pytest.mark.skipif(importlib.util.find_spec("pywhispercpp") is None, reason="pywhispercpp is not installed")
@pytest.mark.parametrize("dtype", ["f16", "q5_0", "q8_0"])
def test_whisper_cpp_loads_it_and_listens(dtype: str, large_dir: Path, tmp_path: Path) -> None:
    export_model(str(large_dir), tmp_path / "ggml", "ggml", dtype)
    runtime = open_model(tmp_path / "ggml")
    assert (runtime.kind, runtime.num_mels) == ("ggml", 128)
    # Random weights and whisper.cpp's own features: the words differ, so only that it listens can be asked.
    heard = runtime.transcribe(sounds(), "ms", SHORT)
    assert all(clip.tokens and max(clip.tokens) < 50257 and clip.avg_logprob < 0 for clip in heard)
    assert max(len(clip.tokens) for clip in heard) <= SHORT.max_new_tokens
    assert len({clip.tokens for clip in heard}) > 1, "every sound gives the same text"


@pytest.mark.skipif(importlib.util.find_spec("pywhispercpp") is None, reason="pywhispercpp is not installed")
@pytest.mark.parametrize("dtype", ["f16", "q5_0", "q8_0"])
def test_whisper_cpp_hears_what_a_trained_model_hears(dtype: str, corpus_dir: Path, tmp_path: Path) -> None:
    items = json.loads((corpus_dir / "train" / "transcripts.json").read_text(encoding="utf-8"))
    # The embedded model knows neither switching nor particles: on them the least difference changes its words.
    known = [item for item in items.values() if item["language"] == "ms" and "added_snr_db" not in item]
    clips = [decode_audio(corpus_dir / "train" / item["audio_filepath"]).samples for item in known][:4]
    assert len(clips) >= 3
    export_model("rojak-micro", tmp_path / "ggml", "ggml", dtype)
    ours, theirs = open_model("rojak-micro"), open_model(tmp_path / "ggml")
    expected, heard = ours.transcribe(clips, "ms"), theirs.transcribe(clips, "ms")
    assert all(clip.text for clip in expected)
    same = sum(one.tokens == other.tokens for one, other in zip(expected, heard, strict=True))
    assert same >= len(clips) - (dtype == "q5_0")


def test_what_whisper_cpp_cannot_hold_is_refused(tiny_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"feed-forward layers of 64 and 64, .* export ct2 or onnx"):
        export_model(str(tiny_dir), tmp_path / "ggml", "ggml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine could")
def test_tensorrt_is_refused_without_a_gpu(tiny_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="this machine has none"):
        export_model(str(tiny_dir), tmp_path / "engines", "tensorrt")


def test_bad_input_gets_one_sentence(run_dir: Path, tiny_dir: Path, large_dir: Path, tmp_path: Path) -> None:
    merge(str(run_dir), tmp_path / "merged", "float32")
    with pytest.raises(InputError, match="allowed are ct2, onnx, ggml, tensorrt"):
        export_model(str(tiny_dir), tmp_path / "out", "gguf")
    with pytest.raises(InputError, match="onnx has float32, int8"):
        export_model(str(tiny_dir), tmp_path / "out", "onnx", "q5_0")
    with pytest.raises(InputError, match="exists and is not empty"):
        merge(str(run_dir), tmp_path / "merged")
    with pytest.raises(InputError, match="holds no model"):
        export_model(str(tmp_path), tmp_path / "out", "ct2")
    clip = Clip("a", sounds()[0], "satu", "ms")
    with pytest.raises(InputError, match="was exported from another model"):
        verify_models(str(tiny_dir), str(tmp_path / "merged"), [clip], "made")
    with pytest.raises(InputError, match=r"clip 0 lasts 31\.0 s"):
        open_model(tiny_dir).transcribe([np.zeros(31 * 16000, np.float32)], "ms")
    with pytest.raises(InputError, match="no token for language 'xx'"):
        open_model(tiny_dir).transcribe(sounds(), "xx")
    with pytest.raises(InputError, match="2 languages were given for 4 clips"):
        open_model(tiny_dir).transcribe(sounds(), ["ms", "en"])
    assert data_of(str(run_dir)) is None
    assert not (tmp_path / "out").exists()


def test_export_verifies_and_fails_when_something_else_comes_out(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ctranslate2")
    command = ["rojak", "export", str(tiny_dir), str(tmp_path / "ct2"), "--format", "ct2", "--data", str(data_dir)]
    monkeypatch.setattr("sys.argv", [*command, "--max-clips", "3", "--max-new-tokens", "6"])
    main()
    assert "PASS" in capsys.readouterr().out
    record = read_export(tmp_path / "ct2", hashes=True)
    assert record.verify is not None
    assert record.verify["passed"]
    assert record.verify["same_tokens"] == 1
    assert record.verify["word_time_difference_s"] is not None
    assert record.trim_safe == open_model(tmp_path / "ct2").trim_safe == record.verify["trim_safe"]

    def other(model: str) -> Whisper:
        whisper = load_any(model)
        with torch.no_grad():
            whisper.network.model.encoder.conv1.weight.mul_(-1)
        return whisper

    monkeypatch.setattr("rojak.export.export.load_any", other)
    command[3] = str(tmp_path / "wrong")
    monkeypatch.setattr("sys.argv", [*command, "--max-clips", "3", "--max-new-tokens", "6"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "does not say the same" in capsys.readouterr().err
    assert read_export(tmp_path / "wrong").verify["passed"] is False  # type: ignore[index]
