from typing import Any

import pytest

from rojak.evaluate.measure import UtteranceScore, measure
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.slices import bucket, group_by_slice, slice_label


def score(reference: str = "saya pergi", **fields: Any) -> UtteranceScore:
    return measure(Prediction(audio_id="a", reference=reference, hypothesis="", **fields))


@pytest.mark.parametrize(
    ("value", "name"),
    [(-1, "< 0 dB"), (0, "0–5 dB"), (4.99, "0–5 dB"), (5, "5–10 dB"), (10, "≥ 10 dB"), (99, "≥ 10 dB")],
)
def test_ranges_hold_their_lower_end(value: float, name: str) -> None:
    assert bucket(value, (0, 5, 10), " dB") == name


@pytest.mark.parametrize(
    ("slicing", "utterance", "label"),
    [
        ("added_snr", score(), "clean"),
        ("added_snr", score(added_snr_db=10.0), "10–15 dB"),
        ("added_snr", score(added_snr_db=20.0), "≥ 20 dB"),
        ("duration", score(duration=4.9), "2–5 s"),
        ("duration", score(), None),
        ("cmi", score(), "one language"),
        ("cmi", score("lah"), None),
        ("cmi", score("saya pergi makan nasi rumah kedai boleh window"), "0–15"),
        ("cmi", score("saya 水"), "≥ 45"),
        ("language_pair", score("saya 水 window"), "ms+en+zh"),
        ("language_pair", score("lah"), None),
        ("speaker_id", score(speaker_id="s1"), "s1"),
        ("gender", score(gender="f"), "f"),
        ("quality_score", score(quality_score=3), "3"),
        ("gender", score(), None),
        ("words", score(words=[]), None),
    ],
)
def test_labels(slicing: str, utterance: UtteranceScore, label: str | None) -> None:
    assert slice_label(utterance, slicing) == label


def test_parts_stand_in_reading_order() -> None:
    scores = [score(added_snr_db=value) for value in (3.0, 12.0, None, 17.0, 3.5)]
    assert group_by_slice(scores, "added_snr") == {"clean": [2], "15–20 dB": [3], "10–15 dB": [1], "0–5 dB": [0, 4]}
    assert list(group_by_slice([score(duration=d) for d in (40, 1, 7)], "duration")) == ["0–2 s", "5–10 s", "≥ 30 s"]
    assert list(group_by_slice([score(language=x) for x in ("mixed", "ta", "ms")], "language")) == ["ms", "ta", "mixed"]


def test_all_clean_only_by_default_is_no_slicing() -> None:
    assert group_by_slice([score(), score()], "added_snr") == {}
    assert group_by_slice([score(), score()], "gender") == {}
