from typing import Any

import pytest

from rojak.evaluate import tables
from rojak.evaluate.measure import UtteranceScore, measure
from rojak.evaluate.prediction import Prediction


def score(reference: str, hypothesis: str, **fields: Any) -> UtteranceScore:
    """`pergi/ms lah/particle` on both sides."""

    def words(text: str) -> list[dict[str, str]]:
        return [{"word": pair.split("/")[0], "language": pair.split("/")[1]} for pair in text.split()]

    return measure(
        Prediction(
            audio_id="a",
            reference=" ".join(word["word"] for word in words(reference)),
            hypothesis=" ".join(word["word"] for word in words(hypothesis)),
            words=words(reference),
            hypothesis_words=words(hypothesis),
            **fields,
        )
    )


SCORES = [
    score("saya/ms nak/ms go/en lah/particle", "saya/ms neck/en go/en la/particle ah/particle"),  # =S=SI
    score("come/en lah/particle kan/particle", "come/en lah/particle"),  # ==D
    score("pergi/ms kedai/ms meh/particle", "pergi/ms lah/particle kau/ms"),  # =SS
]


def test_language_confusion() -> None:
    assert tables.language_confusion(SCORES) == {
        "ms": {"ms": 2, "en": 1, "particle": 1},
        "en": {"en": 2},
        "particle": {"ms": 1, "particle": 2, "(nothing)": 1},
        "(nothing)": {"particle": 1},
    }


def test_particles_one_by_one() -> None:
    found = tables.particle_table(SCORES)
    assert list(found) == ["lah", "kan", "meh", "ah"]
    assert found["lah"] == tables.Detection(said=2, heard=3, right=2, recall=1.0, precision=2 / 3, f1=0.8)
    assert found["kan"] == tables.Detection(said=1, heard=0, right=0, recall=0.0, precision=None, f1=0.0)
    assert found["ah"] == tables.Detection(said=0, heard=1, right=0, recall=None, precision=0.0, f1=None)


def test_particle_confusion() -> None:
    assert tables.particle_confusion(SCORES) == {
        "kan": {"(nothing)": 1},
        "lah": {"lah": 2},
        "meh": {"(other word)": 1},
        "(other word)": {"lah": 1},
        "(nothing)": {"ah": 1},
    }


def test_switch_pairs() -> None:
    found = tables.switch_pairs([*SCORES, score("a/en b/ms c/en", "a/en b/ms d/ms")])
    assert list(found) == ["ms→en", "en→ms"]
    assert (found["ms→en"].said, found["ms→en"].heard, found["ms→en"].right) == (2, 1, 0)
    assert (found["en→ms"].said, found["en→ms"].heard, found["en→ms"].right) == (1, 1, 1)


def test_tagger_is_held_against_given_words() -> None:
    found = tables.tagger_agreement([score("saya/ms makan/en 水/zh Ali/other", "")])
    assert found is not None
    assert found.words == 3  # names are left out
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.confusion["en"] == {"ms": 1}
    tagged = measure(Prediction(audio_id="a", reference="saya", hypothesis=""))
    assert tables.tagger_agreement([tagged]) is None


def test_summary() -> None:
    timed = [score("a/ms", "a/ms", duration=2.0, decode_s=float(seconds)) for seconds in range(101)]
    found = tables.summarize([*SCORES, *timed], tables.particle_table(SCORES))
    # recall lah 1, kan 0, meh 0; `ah` was never said
    assert found["particle_macro_recall"] == pytest.approx(1 / 3)
    assert found["particle_macro_precision"] == pytest.approx((2 / 3) / 3)
    assert found["particle_macro_f1"] == pytest.approx(0.8 / 3)
    assert found["rtf_p50"] == 25.0
    assert found["rtf_p95"] == 47.5
    assert tables.summarize(SCORES, {}) == dict.fromkeys(found)


def test_reliability_sets_being_right_against_being_sure() -> None:
    judged = [(0.55, False), (0.6, True), (0.97, True), (0.99, True), (0.99, False), (1.0, True)]
    found = tables.reliability(judged)
    assert [one.words for one in found] == [2, 4]
    assert [one.accuracy for one in found] == [0.5, 0.75]
    assert found[0].confidence == pytest.approx(0.575)
    assert found[1].confidence == pytest.approx(0.9875)
    assert tables.reliability([]) == ()
