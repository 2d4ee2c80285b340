from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from rojak.evaluate.card import write_model_card
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.results import Scores
from rojak.evaluate.score import ScoreOptions, score_predictions

SETTINGS = {
    "model": "/home/somebody/runs/first",
    "base": "openai/whisper-tiny",
    "data": "/home/somebody/my data",
    "splits": ["test"],
    "decode": {"context": "trim", "beams": 1},
}
SAID = [("saya makan nasi", "ms"), ("good morning boss", "en")]


def system(hypothesis: str, name: str) -> Scores:
    rows = [
        Prediction(audio_id=f"{n}", reference=text, hypothesis=hypothesis, speaker_id=f"s{n % 3}", language=language)
        for n, (text, language) in enumerate(SAID * 12)
    ]
    return score_predictions(rows, ScoreOptions(system=name, settings=SETTINGS, resamples=200))


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("card") / "model-card.md"
    write_model_card(path, [system("saya makan nasi", "tuned"), system("", "base")], date="2026-01-02")
    return path


def test_the_hub_reads_the_numbers(card_path: Path) -> None:
    card = ModelCard.load(card_path, ignore_metadata_errors=False)
    assert card.data.model_name == "first"
    assert card.data.language == ["ms", "en"]
    assert card.data.base_model == "openai/whisper-tiny"
    found = {(r.dataset_config, r.metric_type): r for r in card.data.eval_results}
    whole = found[None, "wer"]
    assert whole.metric_value == 50.0
    assert (whole.dataset_type, whole.dataset_split, whole.task_type) == (
        "my-data",
        "test",
        "automatic-speech-recognition",
    )
    assert whole.metric_args["normalizer"] == "rojak-1"
    low, high = whole.metric_args["interval_95"]
    assert low <= 50 <= high
    assert found["language=ms", "wer"].metric_value == 0.0
    assert found["language=en", "wer"].metric_value == 100.0
    assert found["language=en", "wer"].metric_args["few_utterances"] is True
    assert (None, "switch_f1") not in found  # Nobody switched: not measured, and so not claimed.
    assert card.data.to_dict()["rojak"]["decode"] == {"context": "trim", "beams": 1}


def test_its_index_goes_through_the_hub_and_back(card_path: Path) -> None:
    data = ModelCard.load(card_path).data.to_dict()
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "first"
    parts = {result.dataset_config for result in results}
    assert {None, "language=ms", "language=en"} <= parts
    assert not any("speaker_id" in str(part) for part in parts)


def test_people_read_tables_and_no_folders(card_path: Path) -> None:
    text = card_path.read_text()
    assert "/home/somebody" not in text
    assert "Normaliser: rojak-1" in text
    assert "context trim" in text.replace("\u00a0", " ")
    assert "| WER | 50.0 % [" in text
    assert "## Speaker" not in text
    assert "not measured" in text
