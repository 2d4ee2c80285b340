"""Fitting the restoration: what counts as said where, and the whole way with a tiny model."""

import json
from pathlib import Path

import pytest

from rojak.data.dataset import Dataset
from rojak.errors import InputError, TrainingError
from rojak.evaluate.decode import DecodeOptions
from rojak.evaluate.predict import predict
from rojak.model.adapters import load_any
from rojak.model.restoration import read_restoration
from rojak.model.whisper import Whisper, load_whisper, save_whisper
from rojak.records import Utterance
from rojak.train import fit_particles as fitting
from rojak.train.fit_particles import FitOptions, fit_particles, said_particles, without_particles


@pytest.fixture
def whisper(tiny_dir: Path) -> Whisper:
    return load_whisper(str(tiny_dir))


def utterance(*words: tuple[str, str]) -> Utterance:
    items = [{"word": word, "language": language} for word, language in words]
    text = " ".join(word for word, _ in words)
    return Utterance.model_validate(
        {"audio_id": "a", "audio_filepath": "a", "text": text, "duration": 1.0, "words": items}
    )


SAID = utterance(
    *(("Eh", "particle"), ("boleh", "ms"), ("laa", "particle")),
    *(("beli", "ms"), ("水果", "zh"), ("kot", "particle")),
)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("boleh beli 水果", {0: ["eh"], 1: ["lah"], 4: ["kot"]}),
        ("boleh nak beli 水果", {0: ["eh"], 1: ["lah"], 5: ["kot"]}),
        ("beli 水果", {0: ["eh"], 3: ["kot"]}),  # the word before lah was not heard
        ("boleh beli 水 果汁", {0: ["eh"], 1: ["lah"], 5: ["kot"]}),  # the last word was heard as more
        ("boleh", {0: ["eh"], 1: ["lah", "kot"]}),  # the end was not heard
        ("", {0: ["eh"]}),
    ],
)
def test_a_particle_was_said_behind_the_word_that_stands_for_the_one_before_it(
    heard: str, expected: dict[int, list[str]], whisper: Whisper
) -> None:
    assert said_particles(whisper, whisper.tokens.encode(heard), SAID) == expected


def test_decoded_particles_are_taken_out_and_homographs_stay(whisper: Whisper) -> None:
    ids = whisper.tokens.encode("this one boleh lah")
    assert whisper.tokens.decode(without_particles(whisper, ids, "ms")) == "this one boleh"


def test_the_whole_way(whisper: Whisper, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_whisper(whisper, tmp_path / "model")
    model = str(tmp_path / "model")
    with pytest.raises(TrainingError, match="at least 1000 are needed"), monkeypatch.context() as patch:
        patch.setattr(fitting, "MIN_PARTICLES", 1000)
        fit_particles(model, data_dir)
    monkeypatch.setattr(fitting, "MIN_PARTICLES", 2)
    monkeypatch.setattr(fitting, "MAX_NEW_TOKENS", 12)
    restoration, path = fit_particles(model, data_dir, FitOptions("trim", max_utterances=12))
    assert path == tmp_path / "model" / "restoration.json"
    assert read_restoration(path.parent) == restoration == load_any(model).restoration
    told = restoration.fitted_on
    assert told["validation_right"] <= told["validation_restored"]
    assert told["utterances"] == 12
    values = json.loads(path.read_text())
    values["threshold"] = 0.0  # an untrained model knows nothing; all the same it must be able to restore
    path.write_text(json.dumps(values))
    data = Dataset(data_dir, ("test",))
    options = DecodeOptions(context="trim", max_new_tokens=12)
    rows = predict(load_any(model), data, range(min(4, len(data))), options)
    plain = predict(whisper, data, range(min(4, len(data))), options)
    assert all(len(row.hypothesis) >= len(other.hypothesis) for row, other in zip(rows, plain, strict=True))
    marked = [row for row in rows if row.model_extra and row.model_extra.get("restored")]
    assert marked
    assert all(set(one) == {"word", "particle", "confidence"} for row in marked for one in row.model_extra["restored"])


def test_a_hub_model_cannot_be_fitted_in_place(data_dir: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        fit_particles("openai/whisper-tiny", data_dir)
