"""Transcripts far from what a model hears leave prepared data, counted and named; the model itself is made up here."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from rojak.cli import app
from rojak.data.prepare import prepare, read_summary
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.errors import DataQualityError, InputError
from rojak.evaluate import audit as module
from rojak.evaluate.audit import audit, audit_summary, check_auditor, judge
from rojak.evaluate.prediction import Prediction
from rojak.records import SPLITS

NUM_CLIPS = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    root.mkdir()
    items = {}
    for number in range(NUM_CLIPS):
        t = np.arange(16_000 + 100 * number) / 16_000
        soundfile.write(root / f"c{number}.wav", 0.2 * np.sin(2 * np.pi * (150 + number) * t), 16_000)
        text = f"saya nak makan nombor {number}"
        items[f"c{number}"] = {
            "audio_filepath": f"c{number}.wav",
            "text": text,
            "speaker_id": f"s{number}",
            "snr_db": 30,
        }
    items["c0"]["text"] = "<noise>"
    (root / "transcripts.json").write_text(json.dumps(items), encoding="utf-8")
    prepare(root, tmp_path / "data", settings=PrepareSettings(), workers=0)
    return tmp_path / "data"


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Ids of clips in which the model hears something quite different."""
    ids: set[str] = set()

    def predict(_whisper: Any, data: Any, indices: Sequence[int], _options: Any) -> list[Prediction]:
        rows = []
        for index in indices:
            record = data.utterances[index]
            heard = "hujan lebat di luar rumah" if record.audio_id in ids else record.text
            rows.append(Prediction(audio_id=record.audio_id, reference=record.text, hypothesis=heard))
        return rows

    monkeypatch.setattr(module, "predict", predict)
    return ids


def ids_in(data: Path) -> set[str]:
    return {str(one) for split in SPLITS for one in open_prepared(data, split).column("audio_id")}


def test_clips_that_a_model_hears_differently_go_to_quarantine(data: Path, wrong: set[str]) -> None:
    everything = ids_in(data)
    sound = {one: flac for split in SPLITS for one, flac in _flacs(data, split)}
    wrong.add("c7")
    done: list[tuple[int, int]] = []
    summary = audit(data, object, "m", on_progress=lambda *two: done.append(two))  # type: ignore[arg-type]
    assert (summary.clips, summary.removed, summary.unchanged) == (NUM_CLIPS - 1, 1, False)
    assert done[-1] == (NUM_CLIPS - 1, NUM_CLIPS - 1)
    assert ids_in(data) == everything - {"c7"}
    assert {one: flac for split in SPLITS for one, flac in _flacs(data, split)} == {
        one: flac for one, flac in sound.items() if one != "c7"
    }
    lines = [json.loads(line) for line in (data / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["audio_id"]: line["reason"] for line in lines} == {"c0": "only_markers", "c7": "unlike_model"}
    assert "hujan lebat" in lines[-1]["detail"]
    told = read_summary(data)
    assert sum(told.clips.values()) == NUM_CLIPS - 2 and told.refused == {"only_markers": 1, "unlike_model": 1}
    assert "unlike_model 1" in (data / "README.md").read_text(encoding="utf-8")
    assert audit(data, object, "m").unchanged  # type: ignore[arg-type]


def _flacs(data: Path, split: Any) -> list[tuple[str, bytes]]:
    part = open_prepared(data, split)
    return [(str(one), part.read_flac(row)) for row, one in enumerate(part.column("audio_id"))]


def test_a_model_that_knows_nothing_changes_nothing(data: Path, wrong: set[str]) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    wrong.update(f"c{number}" for number in range(20))
    with pytest.raises(DataQualityError, match=r"19 of 39 transcripts \(48.7%\).*nothing was taken out"):
        audit(data, object, "m")  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_nothing_wrong_is_remembered_too(data: Path, wrong: set[str]) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != "stats.json"}
    assert audit(data, object, "m").removed == 0  # type: ignore[arg-type]
    assert audit(data, object, "m").unchanged  # type: ignore[arg-type]
    assert not audit(data, object, "m", max_wer=0.5).unchanged  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in before} == before
    assert not wrong


def test_the_summary_of_prepare_tells_it(data: Path, wrong: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.add("c3")
    monkeypatch.setattr(module, "_load", lambda name: name)
    told = audit_summary(read_summary(data), "m", PrepareSettings())
    assert not told.unchanged and told.refused["unlike_model"] == 1
    assert told.notes[-1] == "m heard 39 clips; 1 transcripts were far from it."
    assert audit_summary(read_summary(data), "m", PrepareSettings()).unchanged


@pytest.mark.parametrize(
    ("reference", "hypothesis", "refused"),
    [
        ("satu dua tiga empat lima", "satu dua tiga lain lain", False),
        ("satu dua tiga empat lima", "satu dua x y z", False),
        ("satu dua tiga empat lima", "satu w x y z", True),
        ("satu dua", "x y", False),
        ("水果很好", "苹果不坏", True),
        ("satu dua tiga", "", True),
    ],
)
def test_more_than_60_percent_of_three_words_or_more(reference: str, hypothesis: str, refused: bool) -> None:
    row = Prediction(audio_id="a", reference=reference, hypothesis=hypothesis)
    assert (judge(row, 0.6) is not None) == refused


def test_a_model_that_is_not_there_is_told_before_anything_is_prepared(tmp_path: Path, tiny_dir: Path) -> None:
    check_auditor(str(tiny_dir))
    check_auditor("rojak-micro")
    with pytest.raises(InputError, match="holds no model; name rojak-micro"):
        check_auditor(str(tmp_path))
    done = CliRunner().invoke(app, ["prepare", "nowhere", str(tmp_path / "out"), "--audit-with", str(tmp_path)])
    assert isinstance(done.exception, InputError) and "holds no model" in str(done.exception)


def test_a_model_hears_the_sound_and_not_the_transcript(corpus_dir: Path, tiny_dir: Path, tmp_path: Path) -> None:
    """rojak-micro finds the texts that were exchanged; a model that knows nothing is not believed."""
    corpus = tmp_path / "corpus"
    shutil.copytree(corpus_dir / "train", corpus)
    items = json.loads((corpus / "transcripts.json").read_text(encoding="utf-8"))
    items = {one: item for one, item in items.items() if "added_snr_db" not in item}  # the small model needs quiet
    for item in items.values():
        del item["split"], item["words"], item["code_switches"], item["language"]
    long = sorted(items, key=lambda one: -len(items[one]["text"].split()))[:2]
    first, second = (items[one]["text"] for one in long)
    items[long[0]]["text"], items[long[1]]["text"] = second, first
    (corpus / "transcripts.json").write_text(json.dumps(items), encoding="utf-8")
    command = ["prepare", str(corpus), str(tmp_path / "data"), "--workers", "0", "--allow-bad", "0.6"]
    done = CliRunner().invoke(app, [*command, "--audit-with", "rojak-micro"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "data" / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    refused = [line["audio_id"] for line in map(json.loads, lines) if line["reason"] == "unlike_model"]
    assert set(long) <= set(refused) and len(refused) <= 0.5 * len(items)
    shown = CliRunner().invoke(
        app, ["inspect", str(tmp_path / "data"), "--source", str(corpus)], catch_exceptions=False
    )
    page = (tmp_path / "data" / "inspect.html").read_text(encoding="utf-8")
    assert shown.exit_code == 0 and '<span class="flag">unlike_model</span>' in page
    assert page.partition("Suspicious clips</h2>")[0].count("<audio") == len(lines)
    command[-1] = "0.9"
    unbelieved = CliRunner().invoke(
        app, [*command[:2], str(tmp_path / "other"), *command[3:], "--audit-with", str(tiny_dir)]
    )
    assert isinstance(unbelieved.exception, DataQualityError) and "nothing was taken out" in str(unbelieved.exception)
