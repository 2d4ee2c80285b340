"""`rojak prepare`: what it writes, refuses and repeats."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparing import change, files_of, quarantine, records, run
from typer.testing import CliRunner

from rojak.audio import decode_audio, decode_flac
from rojak.cli import app
from rojak.data.clips import prepare_clip
from rojak.data.items import SourceItem
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.errors import DataQualityError, InputError, ManifestError
from rojak.records import SPLITS


def test_a_corpus_becomes_shards(make_corpus, tmp_path):
    root = make_corpus(10)
    change(root, c1={"mood": "happy", "snr_db": 12.0}, c2={"quality_score": 2, "duration": 1.1})
    summary = run(root, tmp_path / "out")
    found = records(tmp_path / "out")
    assert set(found) == {f"c{i}" for i in range(10)}
    assert summary.clips == {"train": 8, "validation": 1, "test": 1}
    assert summary.kind == "transcripts"
    assert not summary.refused and not summary.unchanged
    assert summary.audio_s == pytest.approx(sum(r.duration for r in found.values()))
    assert found["c1"].model_extra == {
        "mood": "happy",
        "original_sample_rate": 16_000,
        "original_channels": 1,
        "particles": ["lah"],
        "cmi": 0.0,
    }
    assert [word.language for word in found["c1"].words][-1] == "particle"
    assert (found["c1"].snr_db, found["c1"].quality_score) == (12.0, 2)
    assert found["c2"].quality_score == 2
    assert found["c2"].duration == pytest.approx(1.2)
    assert found["c3"].snr_db is not None and found["c3"].quality_score is not None
    assert found["c3"].audio_filepath == "audio/c3.flac"
    for split in SPLITS:
        opened = open_prepared(tmp_path / "out", split)
        for i, record in enumerate(opened.records()):
            assert record.split == split
            np.testing.assert_array_equal(opened.read_audio(i), decode_audio(root / record.audio_filepath).samples)


def test_own_flac_is_kept_and_the_rest_is_encoded(make_corpus, tmp_path):
    root = make_corpus(4)
    wav = root / "audio" / "c0.wav"
    soundfile.write(wav, np.stack([decode_audio(root / "audio" / "c0.flac").samples] * 2, axis=1), 44_100)
    change(root, c0={"audio_filepath": "audio/c0.wav", "text": "ya"})
    run(root, tmp_path / "out", validation_share=0, test_share=0)
    split = open_prepared(tmp_path / "out", "train")
    flac = dict(zip(split.column("audio_id"), map(split.read_flac, range(4)), strict=True))
    assert flac["c1"] == (root / "audio" / "c1.flac").read_bytes()
    assert len(decode_flac(flac["c0"])) == pytest.approx(1.0 * 16_000 * 16 / 44.1, abs=2)


def test_datasets_reads_it(make_corpus, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    root = make_corpus(5)
    change(root, c0={"words": [{"word": "saya", "language": "ms", "start": 0.0, "end": 0.2}]})
    run(root, tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3, "validation": 1, "test": 1}
    assert loaded["train"].features["audio"] == datasets.Audio(sampling_rate=16_000)
    rows = [row for part in loaded.values() for row in part.cast_column("audio", datasets.Audio(decode=False))]
    row = next(row for row in rows if row["audio_id"] == "c0")
    assert row["audio"] == {"bytes": (root / "audio" / "c0.flac").read_bytes(), "path": "c0.flac"}
    assert row["words"] == [{"word": "saya", "language": "ms", "start": 0.0, "end": 0.2}]


def test_every_planted_fault_is_named_and_the_rest_goes_on(make_corpus, make_speech, tmp_path):
    root = make_corpus(30)
    audio = root / "audio"
    (audio / "c0.flac").write_bytes(b"")
    (audio / "c1.flac").write_bytes(os.urandom(4000))
    (audio / "c2.flac").unlink()
    soundfile.write(audio / "c3.flac", make_speech(0.1), 16_000)
    soundfile.write(audio / "c4.flac", make_speech(31.0), 16_000)
    (tmp_path / "outside.flac").write_bytes((audio / "c5.flac").read_bytes())
    flac = (audio / "c10.flac").read_bytes()
    (audio / "c10.flac").write_bytes(flac[: len(flac) // 2])
    change(
        root,
        c5={"audio_filepath": "../outside.flac"},
        c6={"text": " "},
        c7={"text": "<noise>"},
        c8={"text": "lah " * 449},
        c9={"language": "klingon"},
        c11={"text": None},
        again={"audio_id": "c12", "audio_filepath": "audio/c12.flac", "text": "x"},
    )
    mp3 = bytearray(np.random.default_rng(0).bytes(3000))
    mp3[:4] = b"\xff\xfb\x90\x00"
    (audio / "c13.mp3").write_bytes(mp3)
    change(root, c13={"audio_filepath": "audio/c13.mp3"})
    loud = np.clip(make_speech(2.0, seed=99) * 20, -0.7, 0.7)
    hiss = np.random.default_rng(0).standard_normal(48_000) * 0.05
    for name, samples, rate in [
        ("clipped", loud, 16_000),
        ("silent", make_speech(1.0, seed=98) * 1e-4, 16_000),
        ("noisy", hiss, 16_000),
        ("telex", make_speech(1.0, seed=97, rate=6000), 6000),
        ("copied", decode_audio(audio / "c14.flac").samples, 16_000),
        ("wrong", make_speech(1.0, seed=96), 16_000),
    ]:
        soundfile.write(audio / f"{name}.wav", samples, rate)
        change(root, **{name: {"audio_filepath": f"audio/{name}.wav", "text": "nak makan lah"}})
    change(
        root,
        wrong={"text": "ini ialah transkrip yang terlalu panjang untuk satu saat sahaja bukan"},
        c15={"duration": 2.5},
        c16={"text": "это совсем другой язык"},
        c17={"snr_db": -3.0},
    )
    summary = run(root, tmp_path / "out", count_tokens=lambda text: len(text.split()), allow_bad=0.7)
    found = quarantine(tmp_path / "out" / "quarantine.jsonl")
    assert {audio_id: line["reason"] for audio_id, line in found.items()} == {
        "c0": "empty_file",
        "c1": "undecodable",
        "c2": "missing_file",
        "c3": "too_short",
        "c4": "too_long",
        "c5": "outside_root",
        "c6": "empty_text",
        "c7": "only_markers",
        "c8": "too_many_tokens",
        "c9": "bad_record",
        "c10": "truncated",
        "c11": "no_transcript",
        "c12": "duplicate_id",
        "c13": "undecodable",
        "c15": "duration_mismatch",
        "c16": "unexpected_script",
        "c17": "low_snr",
        "clipped": "clipped",
        "silent": "nearly_silent",
        "noisy": "low_snr",
        "telex": "low_rate",
        "copied": "duplicate_audio",
        "wrong": "too_fast",
    }
    assert found["c4"]["detail"] == "The recording is about 31.0 s, at most 30 s are allowed."
    assert found["c9"]["where"] == "transcripts.json, item c9"
    assert "language" in found["c9"]["detail"]
    assert sum(summary.refused.values()) == 23
    assert set(records(tmp_path / "out")) == {"c12", "c14", *(f"c{i}" for i in range(18, 30))}


def test_too_many_bad_clips_stop_it(make_corpus, tmp_path):
    root = make_corpus(10)
    for i in range(3):
        (root / "audio" / f"c{i}.flac").write_bytes(b"")
    with pytest.raises(DataQualityError, match=r"3 of 10 clips \(30.0%\).*empty_file 3.*--allow-bad 0.31"):
        run(root, tmp_path / "out")
    assert sorted(files_of(tmp_path / "out")) == ["quarantine.jsonl"]
    assert set(quarantine(tmp_path / "out" / "quarantine.jsonl")) == {"c0", "c1", "c2"}
    assert run(root, tmp_path / "out", allow_bad=0.31).refused == {"empty_file": 3}
    (root / "audio" / "c3.flac").write_bytes(b"")
    before = files_of(tmp_path / "out")
    with pytest.raises(DataQualityError, match=r"quarantine-refused\.jsonl"):
        run(root, tmp_path / "out")
    assert {k: v for k, v in files_of(tmp_path / "out").items() if k != "quarantine-refused.jsonl"} == before


def test_one_or_two_bad_clips_are_tolerated_unless_none_may_be(make_corpus, tmp_path):
    root = make_corpus(10)
    (root / "audio" / "c0.flac").write_bytes(b"")
    assert run(root, tmp_path / "out").refused == {"empty_file": 1}
    with pytest.raises(DataQualityError):
        run(root, tmp_path / "strict", allow_bad=0)


def test_all_bad_is_never_enough(make_corpus, tmp_path):
    root = make_corpus(2)
    change(root, c0={"text": ""}, c1={"text": ""})
    with pytest.raises(DataQualityError, match="All 2 clips were refused"):
        run(root, tmp_path / "out", allow_bad=1.0)


def test_workers_do_not_change_a_byte(make_corpus, tmp_path):
    root = make_corpus(70, speakers=9)
    (root / "audio" / "c40.flac").write_bytes(b"")
    run(root, tmp_path / "one" / "out", workers=1)
    run(root, tmp_path / "two" / "out", workers=2)
    run(root, tmp_path / "none" / "out", workers=0)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two") == files_of(tmp_path / "none")


def test_again_does_nothing_and_changes_are_noticed(make_corpus, make_speech, tmp_path):
    root, out = make_corpus(8), tmp_path / "out"
    run(root, out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert run(root, out).unchanged
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before

    (out / "mine.txt").write_text("kept")
    soundfile.write(root / "audio" / "c0.flac", make_speech(1.5), 16_000)
    changed = run(root, out)
    assert not changed.unchanged
    assert "corpus" in changed.notes[0]
    assert records(out)["c0"].duration == 1.5
    assert (out / "mine.txt").read_text() == "kept"

    change(root, c1={"text": "lain"})
    assert not run(root, out).unchanged
    changed = run(root, out, min_duration_s=0.3, seed=3)
    assert changed.notes[0] == "Prepared anew because of changed settings: min_duration_s 0.2 → 0.3, seed 0 → 3."
    next((out / "data").glob("test-*")).unlink()
    assert not run(root, out, min_duration_s=0.3, seed=3).unchanged


def test_bad_input_is_told_before_anything_is_written(make_corpus, tmp_path):
    root, out = make_corpus(3), tmp_path / "out"
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "none", out)
    with pytest.raises(InputError, match="holds the source itself"):
        run(root, root)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        run(root, tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="did not write"):
        run(root, tmp_path / "full")
    (root / "transcripts.json").write_text('{\n"a": nope}')
    with pytest.raises(ManifestError, match="line 2, column 6"):
        run(root, out)
    (root / "transcripts.json").write_text("{}")
    with pytest.raises(InputError, match="no recordings"):
        run(root, out)
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))


def test_the_settings_leave_something_for_training():
    with pytest.raises(ValueError, match="must stay below 1"):
        PrepareSettings(validation_share=0.5, test_share=0.5)


def test_workers_import_no_torch():
    code = (
        "import sys, rojak.data.prepare; print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


REAL_SPEECH = Path(__file__).parents[4] / "shared" / "real-speech"


@pytest.mark.skipif(not REAL_SPEECH.exists(), reason=f"{REAL_SPEECH} is not there")
def test_real_speech(tmp_path):
    summary = run(REAL_SPEECH, tmp_path / "out")
    assert sum(summary.clips.values()) == 16
    assert summary.refused == {}
    found = records(tmp_path / "out")
    assert found["ms_shafiqah"].model_extra["original_channels"] == 2
    assert found["nsc1_221931702"].model_extra["licence"].startswith("IMDA")
    assert 0 < found["zh_aishell_BAC009S0002W0207"].snr_db < 60


def test_a_setting_with_a_flag_of_its_own_can_be_set_by_name_too(make_corpus, tmp_path):
    root = make_corpus(10)
    change(root, c1={"mood": "happy"})
    given = ("allow_bad=0.2", "seed=5", "columns={domain: mood}", "tokenizer=rojak-micro")
    sets = [word for text in given for word in ("--set", text)]
    command = ["prepare", str(root), str(tmp_path / "out"), "--workers", "0", *sets]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    kept = json.loads((tmp_path / "out" / "stats.json").read_text())["settings"]
    assert [kept[name] for name in ("allow_bad", "seed", "columns")] == [0.2, 5, {"domain": "mood"}]
    assert records(tmp_path / "out")["c1"].domain == "happy"
    command = [*command[:2], str(tmp_path / "flags"), *command[3:], "--seed", "6"]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert json.loads((tmp_path / "flags" / "stats.json").read_text())["settings"]["seed"] == 6, "a flag wins"


def test_segments_without_a_speaker_name_their_recording(make_corpus):
    root = make_corpus(2)
    item = SourceItem({"audio_id": "a", "audio_filepath": "audio/c0.flac", "text": "nak makan lah"}, "m.jsonl, line 1")
    item = replace(item, audio=root / "audio" / "c0.flac")
    [whole] = prepare_clip(item, PrepareSettings())
    [piece] = prepare_clip(replace(item, start_s=0.1, length_s=0.9), PrepareSettings())
    assert (whole.cut_from, piece.cut_from) == (None, "audio/c0.flac")
