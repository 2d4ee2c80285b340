"""The whole way on the command line with a tiny model, and the commonest mistakes."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import rojak

from rojak.data.dataset import Dataset
from rojak.evaluate.decode import ClipToDecode, Decoded, DecodeOptions, decode_clips
from rojak.evaluate.predict import add_test_noise, predict
from rojak.model.adapters import base_name, load_any

SHORT = ("--context", "trim", "--max-new-tokens", 12)
"""An untrained model never says that it is done."""
REAL_SPEECH = Path(__file__).parents[3] / "shared" / "real-speech"


def train_command(model: object, data: object, run: object) -> list[object]:
    paths = ["--model_name", model, "--dataset_path", data, "--output_dir", run]
    small = ["--batch-size", 4, "--lora_r", 4, "--num_epochs", 1, "--seed", 3]
    quick = [
        "stages.0.name=all",
        "stages.0.max_steps=3",
        "validation.max_utterances=4",
        "validation.max_new_tokens=8",
        "tensorboard=false",
    ]
    return ["train", *paths, *small, "stages=[{}]", *quick]


@pytest.fixture(scope="module")
def run_dir(tiny_dir: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("way") / "run"
    assert rojak(*train_command(tiny_dir, data_dir, run)) == 0
    return run


def test_evaluate_writes_base_and_tuned_side_by_side(
    run_dir: Path, data_dir: Path, tiny_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert rojak("evaluate", run_dir, data_dir, "--out", results, "--snr", "10:15", "--word-times", *SHORT) == 0
    assert "Targets" in capsys.readouterr().out
    document = json.loads((results / "metrics.json").read_text())
    assert "model-index:" in (results / "model-card.md").read_text()
    assert [system["system"] for system in document["systems"]] == ["tuned", "base"]
    tuned = document["systems"][0]
    assert tuned["settings"]["base"] == str(tiny_dir)
    assert tuned["settings"]["decode"]["context"] == "trim"
    clean = tuned["slices"]["added_snr"]["clean"]["utterances"]
    assert tuned["slices"]["added_snr"]["10–15 dB"]["utterances"] == clean
    rows = [json.loads(line) for line in (results / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == tuned["overall"]["utterances"] == len(Dataset(data_dir, ("test",)))
    assert all(row["decode_s"] > 0 for row in rows)
    heard = [(word, row["duration"]) for row in rows for word in row["hypothesis_words"]]
    assert heard
    assert all(0 <= word["start"] <= word["end"] <= length + 0.01 and word["language"] for word, length in heard)
    page = (results / "report.html").read_text()
    assert "<html" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert rojak("compare", results / "base" / "predictions.jsonl", results / "predictions.jsonl") == 0
    assert rojak("score", results / "predictions.jsonl", "--by", "language") == 0


def test_a_run_a_checkpoint_and_its_best_folder_are_models(run_dir: Path, tiny_dir: Path) -> None:
    latest = (run_dir / "checkpoints" / "LATEST").read_text().strip()
    for name in (run_dir, run_dir / "best", run_dir / "checkpoints" / latest):
        assert base_name(str(name)) == str(tiny_dir)
        assert load_any(str(name)).tokens.languages["ms"]
    assert base_name(str(tiny_dir)) is None


@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(context="full", max_new_tokens=20),
        DecodeOptions(context="trim", max_new_tokens=20),
        DecodeOptions(context="trim", max_new_tokens=8, num_beams=3, word_times=True),
        DecodeOptions(context="trim", max_new_tokens=6, temperature_fallback=True),
    ],
    ids=["full", "trim", "beams and word times", "temperature fallback"],
)
def test_decoding_does_not_depend_on_the_batch(options: DecodeOptions, tiny_dir: Path, data_dir: Path) -> None:
    whisper, data = load_any(str(tiny_dir)), Dataset(data_dir, ("train",))
    indices = range(12)

    def heard(batch_seconds: float, order: Iterable[int]) -> list[tuple[object, ...]]:
        clips = (ClipToDecode(i, data.read_audio(i), "ms") for i in order)
        found = decode_clips(whisper, clips, replace(options, batch_seconds=batch_seconds))
        return [(one.text, one.temperature, _times(one)) for one in sorted(found, key=lambda one: one.index)]

    alone, together = heard(1.0, indices), heard(1000.0, reversed(indices))
    assert alone == together
    assert any(text for text, *_ in alone)
    if options.temperature_fallback:
        assert any(temperature for _, temperature, _ in alone)


def _times(found: Decoded) -> list[tuple[str, float | None, float | None]]:
    return [(word.word, word.start, word.end) for word in found.words or ()]


def test_words_heard_come_with_time_language_and_confidence(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    options = ["--word-times", "--beams", 2, "--snr", "none", "--max-utterances", 4, "--no-base", *SHORT]
    assert rojak("evaluate", tiny_dir, data_dir, "--out", tmp_path, *options) == 0
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    words = [word for row in rows for word in row["hypothesis_words"]]
    assert words
    assert all({"word", "language", "start", "end", "confidence"} <= set(word) for word in words)
    assert all(0 <= word["start"] <= word["end"] for word in words)
    assert all(row["mean_logprob"] < 0 for row in rows)
    decode = json.loads((tmp_path / "metrics.json").read_text())["systems"][0]["settings"]["decode"]
    assert (decode["num_beams"], decode["word_times"], decode["temperature_fallback"]) == (2, True, False)


def test_language_is_detected_clip_by_clip_where_asked(tiny_dir: Path, data_dir: Path) -> None:
    whisper, data = load_any(str(tiny_dir)), Dataset(data_dir, ("test",))
    rows = predict(whisper, data, [0, 1], DecodeOptions(language="detect", max_new_tokens=4))
    assert all(row.model_extra and row.model_extra["prompt_language"] in whisper.tokens.languages for row in rows)


def test_test_noise_is_the_same_for_every_system_and_in_range(data_dir: Path) -> None:
    data = Dataset(data_dir, ("test",))
    first, level = add_test_noise(data, 0, data.read_audio(0), (10, 15))
    again, _ = add_test_noise(data, 0, data.read_audio(0), (10, 15))
    np.testing.assert_array_equal(first, again)
    assert 10 <= level <= 15


def corpus(folder: Path, items: object, sound_s: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    tone = 0.3 * np.sin(np.arange(int(16000 * sound_s)) / 8) * (np.arange(int(16000 * sound_s)) % 8000 > 2000)
    soundfile.write(folder / "a.wav", tone.astype(np.float32), 16000)
    (folder / "transcripts.json").write_text(items if isinstance(items, str) else json.dumps(items))
    return folder


GOOD = {"audio_filepath": "a.wav", "text": "apa khabar", "duration": 1.0}


def mistakes(tmp_path: Path, tiny_dir: Path, data_dir: Path) -> dict[str, tuple[list[object], str]]:
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = corpus(tmp_path / "missing", {"x": {**GOOD, "audio_filepath": "b.wav"}})
    broken_dir = corpus(tmp_path / "broken", {"x": {**GOOD, "audio_filepath": "c.mp3"}})
    (broken_dir / "c.mp3").write_bytes(b"ID3 this is no sound" * 50)
    zero = corpus(tmp_path / "zero", {"x": {**GOOD, "audio_filepath": "z.wav"}})
    (zero / "z.wav").touch()
    long = corpus(tmp_path / "long", {"x": {**GOOD, "duration": 31.0}}, 31.0)
    malformed = corpus(tmp_path / "malformed", '{"x": {"text": "a",\n "audio_filepath" 3}}')
    out = tmp_path / "out"
    config = tmp_path / "c.yaml"
    config.write_text(f"dataset_path: {data_dir}\noutput_dir: {out}\nlearning_rat: 1\n")
    nothing = ["--dataset_path", data_dir, "--output_dir", out]
    return {
        "missing path": (["prepare", tmp_path / "nowhere", out], "does not exist"),
        "empty folder": (["prepare", empty, out], "transcripts.json"),
        "malformed JSON": (["prepare", malformed, out], "line 2, column"),
        "text without audio": (["prepare", missing, out], "missing_file"),
        "broken MP3": (["prepare", broken_dir, out], "undecodable"),
        "0-byte file": (["prepare", zero, out], "empty"),
        "over 30 s": (["prepare", long, out], "too_long"),
        "unknown key": (["train", config], "did you mean learning_rate?"),
        "no model": (["train", "--model_name", empty, *nothing], "without config.json"),
        "no data": (["train", "--model_name", tiny_dir, "--dataset_path", empty, "--output_dir", out], "rojak prepare"),
        "no split": (["evaluate", tiny_dir, data_dir, "--split", "dev", "--out", out], "allowed are train"),
        "bad noise": (["evaluate", tiny_dir, data_dir, "--snr", "loud", "--out", out], "15:20,10:15"),
        "no predictions": (["score", tmp_path / "p.jsonl"], "does not exist"),
        "one to compare": (["compare", tmp_path / "p.jsonl"], "at least two"),
    }


CASES = [
    *("missing path", "empty folder", "malformed JSON", "text without audio", "broken MP3", "0-byte file", "over 30 s"),
    *("unknown key", "no model", "no data", "no split", "bad noise", "no predictions", "one to compare"),
]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, tmp_path: Path, tiny_dir: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, wanted = mistakes(tmp_path, tiny_dir, data_dir)[case]
    if command[0] == "prepare":
        command += ["--model", tiny_dir]
    assert rojak(*command) == 1
    said = capsys.readouterr().err
    sentence = said[said.index("Error: ") :].strip()
    assert wanted in sentence
    assert "Traceback" not in said
    assert sentence.count("\n") == 0
    left = tmp_path / "out"
    assert not (left / "data").exists()
    assert not (left / "checkpoints").exists()


def test_good_clips_go_on_and_bad_ones_are_named(tmp_path: Path, tiny_dir: Path, corpus_dir: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(corpus_dir, mixed)
    path = mixed / "train" / "transcripts.json"
    items = json.loads(path.read_text())
    bad = next(iter(items))
    (mixed / "train" / items[bad]["audio_filepath"]).write_bytes(b"")
    path.write_text(json.dumps(items))
    assert rojak("prepare", mixed, tmp_path / "data", "--model", tiny_dir) == 0
    rows = [json.loads(line) for line in (tmp_path / "data" / "quarantine.jsonl").read_text().splitlines()]
    assert [(row["audio_id"], row["reason"]) for row in rows] == [(bad, "empty_file")]
    assert len(Dataset(tmp_path / "data", ("train",))) == len(items) - 1


@pytest.mark.skipif(not REAL_SPEECH.is_dir(), reason="real clips are not beside the project")
def test_real_clips_are_prepared_trained_on_and_evaluated(tmp_path: Path, tiny_dir: Path) -> None:
    data = tmp_path / "data"
    assert rojak("prepare", REAL_SPEECH, data, "--model", tiny_dir) == 0
    named = (data / "quarantine.jsonl").read_text().splitlines()
    splits = [split for split in ("train", "validation", "test") if list((data / "data").glob(f"{split}-*"))]
    assert len(Dataset(data, splits)) + len(named) == 16
    command = train_command(tiny_dir, data, tmp_path / "run")
    assert rojak(*command, "train_splits=[train,validation,test]") == 0
    options = ["--split", "all", "--snr", "none", *SHORT, "--out", tmp_path / "results"]
    assert rojak("evaluate", tmp_path / "run", data, *options) == 0
    assert (tmp_path / "results" / "report.html").stat().st_size > 10_000
