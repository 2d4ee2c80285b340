"""A user's own particles and words, given once, reach every room: preparing, labels, scoring, restoration."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from rojak.cli import app
from rojak.config.schema import TrainConfig
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.errors import ConfigError
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.model.restoration import FEATURES, Restoration
from rojak.model.restore import restore
from rojak.model.whisper import encode_audio, load_whisper
from rojak.text.language import load_tagger, tag_words
from rojak.text.wordlists import WORDS_VARIABLE, name_own_lists, own_lists_in_force, use_own_lists
from rojak.train.loop import train

ROW = {"audio_id": "a", "reference": "boleh ba kita limpas sana", "hypothesis": "boleh bah kita limpas sana"}


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the variable back as it was, whatever a test does to it."""
    monkeypatch.setenv(WORDS_VARIABLE, "")


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    path = tmp_path / "sabah.yaml"
    path.write_text("particles: {bah: {variants: ba}}\nwords: {ms: limpas}\n", encoding="utf-8")
    return path


def test_they_hold_as_long_as_they_are_in_force(lists: Path) -> None:
    def tag() -> str:
        return tag_words("boleh bah")[1].language

    assert tag() == "ms"
    with own_lists_in_force([lists]):
        assert tag() == "particle"
        assert load_tagger(()).tag("boleh bah")[1].language == "ms"
        with own_lists_in_force([]):
            assert tag() == "particle"
    assert tag() == "ms"
    assert not name_own_lists()


def test_several_files_and_a_relative_path(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lists.parent / "hokkien.yaml").write_text("particles: {nia: {}}", encoding="utf-8")
    monkeypatch.chdir(lists.parent)
    use_own_lists(["sabah.yaml", "hokkien.yaml"])
    monkeypatch.chdir("/")
    assert [word.language for word in tag_words("boleh bah, sikit nia")] == ["ms", "particle", "ms", "particle"]
    assert [name.split(" ")[0] for name in name_own_lists()] == ["sabah.yaml", "hokkien.yaml"]


def test_a_missing_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        use_own_lists(["nowhere.yaml"])
    monkeypatch.setenv(WORDS_VARIABLE, "/nowhere.yaml")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        PrepareSettings()
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        tag_words("boleh")


def test_the_command_line_puts_them_in_force_for_whatever_it_does(lists: Path) -> None:
    done = CliRunner().invoke(app, ["--words", str(lists), "tag"], input="boleh bah\n", catch_exceptions=False)
    assert json.loads(done.output)["words"][1]["language"] == "particle"


@pytest.mark.parametrize("workers", [0, 1])
def test_prepare_writes_them_into_the_records(lists: Path, tmp_path: Path, corpus_dir: Path, workers: int) -> None:
    manifest = tmp_path / "corpus.jsonl"
    sounds = sorted((corpus_dir / "test").rglob("*.flac"))[:2]
    assert len(sounds) == 2
    rows = [
        {"audio_id": path.stem, "audio_filepath": str(path), "text": "boleh ba kita limpas sana"} for path in sounds
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = {"audio_root": corpus_dir, "allow_bad": 1.0, "max_syllables_per_s": 50, "min_syllables_per_s": 0}
    settings |= {"refuse_duplicates": False}

    def run() -> list[str]:
        prepare(manifest, tmp_path / "data", settings=PrepareSettings(**settings), workers=workers)
        tables = [pq.read_table(path) for path in sorted((tmp_path / "data" / "data").glob("*.parquet"))]
        return [json.loads(extra)["particles"] for table in tables for extra in table["extra"].to_pylist()]

    assert run() == [[], []]
    with own_lists_in_force([lists]):
        assert run() == [["bah"], ["bah"]]  # prepared anew, because the lists are a setting
        stats = json.loads((tmp_path / "data" / "stats.json").read_text())
        assert stats["settings"]["word_lists"] == name_own_lists()


def test_the_setting_of_prepare_follows_and_is_not_set() -> None:
    with pytest.raises(ValueError, match="rojak --words"):
        PrepareSettings(word_lists=("mine.yaml",))


def score(row: dict[str, str]) -> tuple[float | None, list[str]]:
    scores = score_predictions([Prediction.from_dict(row, "row")], ScoreOptions(resamples=0))
    return scores.overall.metrics["particle_recall"].value, scores.notes


def test_scores_count_their_particles_and_say_so(lists: Path) -> None:
    assert score({**ROW, "hypothesis": ROW["reference"]})[0] is None
    with own_lists_in_force([lists]):
        assert score({**ROW, "hypothesis": ROW["reference"]})[0] == 1
        recall, notes = score({**ROW, "hypothesis": "boleh kita limpas sana"})
        assert recall == 0
        assert any("sabah.yaml" in note for note in notes)


ALWAYS = Restoration(
    mean=(0.0,) * len(FEATURES), scale=(1.0,) * len(FEATURES), weights=(0.0,) * len(FEATURES), bias=3.0,
    threshold=0.5, priors={"bah": -0.1}, fitted_on={},
)  # fmt: skip


def test_restoration_puts_them_back(lists: Path, tiny_dir: Path) -> None:
    whisper = replace(load_whisper(str(tiny_dir)), restoration=ALWAYS)
    sound = np.random.default_rng(2).standard_normal(32000).astype(np.float32)
    ids = whisper.tokens.encode("boleh kita limpas sana")
    with torch.inference_mode():
        encoded = encode_audio(whisper.network, torch.randn(1, 80, 200))

    def restored() -> set[str]:
        return {one.particle for one in restore(whisper, encoded, ["ms"], [ids], [sound])[0][1]}

    assert restored() == set()
    with own_lists_in_force([lists]):
        assert restored() == {"bah"}


def test_a_run_takes_them_from_its_configuration(lists: Path, tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def look(_: int, __: float) -> None:
        seen.append(tag_words("boleh bah")[1].language)

    config = TrainConfig(
        model_name=str(tiny_dir), dataset_path=str(data_dir), output_dir=str(tmp_path / "run"), lora_r=2, lora_alpha=4,
        word_lists=(str(lists),), particle_tokens=True, tensorboard=False, windows={"mode": "trim"},
        stages=({"name": "all", "max_steps": 1},), batch_size=2,
        validation={"max_utterances": 1, "max_new_tokens": 2},
    )  # fmt: skip
    train(config, on_validation=look)
    assert seen == ["particle"]
    assert not os.environ[WORDS_VARIABLE]
    labelling = json.loads(next((tmp_path / "run").rglob("rojak.json")).read_text())
    assert "bah" in labelling["particle_tokens"]
