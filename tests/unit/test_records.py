import pytest

from rojak.errors import ManifestError
from rojak.records import Utterance, quality_from_snr

ITEM = {"audio_id": "a", "audio_filepath": "a.wav", "text": "boleh lah", "duration": 1.5}


def test_round_trip_keeps_unknown_fields() -> None:
    item = ITEM | {"words": [{"word": "boleh", "language": "ms", "start": 0.1, "end": 0.5}], "licence": "CC0"}
    record = Utterance.from_dict(item, "here")
    again = Utterance.from_dict(record.to_dict(), "here")
    assert again == record
    assert record.to_dict()["licence"] == "CC0"
    assert record.words is not None
    assert record.words[0].language == "ms"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None}, "text"),
        ({"duration": -1}, "duration"),
        ({"language": "fr"}, "language"),
        ({"audio_id": ""}, "audio_id"),
    ],
)
def test_a_bad_field_is_named_with_its_place(change: dict, message: str) -> None:
    with pytest.raises(ManifestError, match=f"train.json, item 3: {message}"):
        Utterance.from_dict(ITEM | change, "train.json, item 3")


def test_missing_fields_are_all_named() -> None:
    with pytest.raises(ManifestError, match=r"text: field required; duration: field required"):
        Utterance.from_dict({"audio_id": "a", "audio_filepath": "a.wav"}, "x")


@pytest.mark.parametrize(
    ("snr_db", "score"),
    [(40, 5), (35.1, 5), (35, 4), (25, 4), (24.9, 3), (15, 3), (14.9, 2), (10, 2), (9.9, 1), (-5, 1)],
)
def test_quality_follows_the_table(snr_db: float, score: int) -> None:
    assert quality_from_snr(snr_db) == score
