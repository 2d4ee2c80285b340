from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rojak.errors import InputError
from rojak.evaluate import align
from rojak.evaluate.measure import measure
from rojak.evaluate.prediction import Prediction
from rojak.text.normalize import TextOptions


def prediction(reference: str, hypothesis: str, **fields: Any) -> Prediction:
    return Prediction.from_dict({"audio_id": "a", "reference": reference, "hypothesis": hypothesis, **fields}, "row")


def tags(text: str) -> list[dict[str, str]]:
    """`pergi/ms lah/particle` → words with languages."""
    pairs = (item.rsplit("/", 1) for item in text.split())
    return [{"word": word, "language": language} for word, language in pairs]


def test_languages_that_come_with_the_row_are_used_for_each_han_character() -> None:
    words = tags("Beli/ms 水果/zh lah/particle ,/other Ali/other")
    score = measure(prediction("Beli水果lah, Ali", "beli 水过 la ali", words=words))
    assert score.reference_words == ["beli", "水", "果", "lah", "ali"]
    assert score.reference_languages == ["ms", "zh", "zh", "particle", "other"]
    assert score.languages_from == "given"
    assert score.ops == "==SS="
    assert score.hypothesis_languages[1:3] == ["zh", "zh"]
    assert score.counts["particles_right"] == 1  # `la` is `lah`, though as a word it is wrong
    assert score.counts["substitutions"] == 2


def test_a_matching_word_has_the_language_of_its_reference() -> None:
    # The tagger takes `air` for Malay; the row says that it was English here.
    score = measure(prediction("air con", "air con", words=tags("air/en con/en")))
    assert score.hypothesis_languages == ["en", "en"]
    spoken = measure(prediction("pi one", "pi one", words=tags("pi/ms one/en")))
    assert "particles_heard" not in spoken.counts


def test_a_system_that_tags_its_own_words_is_believed() -> None:
    given = tags("air/ms con/en")
    score = measure(prediction("air con", "air con", words=tags("air/en con/en"), hypothesis_words=given))
    assert score.hypothesis_languages == ["ms", "en"]
    assert score.counts["en_right"] == 1


def test_words_that_differ_from_the_reference_are_used_where_they_match() -> None:
    score = measure(prediction("saya pergi kedai", "", words=tags("saya/ms kedai/en")))
    assert score.languages_from == "differ"
    assert score.reference_languages == ["ms", "ms", "en"]


def test_the_tagger_reads_what_came_without_languages() -> None:
    score = measure(prediction("Saya nak beli 水果 for you lah", ""))
    assert score.languages_from == "tagged"
    assert score.reference_languages == ["ms", "ms", "ms", "zh", "zh", "en", "en", "particle"]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "flags"),
    [
        ("satu dua", "satu dua", ()),
        ("satu dua", "", ("empty",)),
        ("satu dua", "a b c d", ("runaway",)),
        ("satu dua", "a b", ()),
        ("satu dua tiga", "satu dua tiga tiga tiga tiga", ("repeat",)),
        ("satu", "ya ya ya ya ya", ("runaway", "repeat")),
        ("", "thank you", ("nonspeech",)),
        ("[...]", "", ("nonspeech",)),
    ],
)
def test_flags(reference: str, hypothesis: str, flags: tuple[str, ...]) -> None:
    assert measure(prediction(reference, hypothesis)).flags == flags


def test_counts_leave_zeros_out_and_clips_without_speech_out_of_everything_else() -> None:
    score = measure(prediction("", "thank you", duration=2.0, decode_s=0.5))
    assert score.counts == {
        "nonspeech_clips": 1,
        "nonspeech_clips_heard": 1,
        "nonspeech_words": 2,
        "timed_audio_s": 2.0,
        "timed_decode_s": 0.5,
    }
    assert score.wer is None


def test_a_wrong_space_counts_between_spaces_even_where_every_word_is_right() -> None:
    counts = measure(prediction("我要 水果", "我 要水 果")).counts
    assert "substitutions" not in counts and "deletions" not in counts and "insertions" not in counts
    assert (counts["spaced_words"], counts["spaced_errors"]) == (2, 3)


def test_cmi_is_that_of_the_reference() -> None:
    assert measure(prediction("saya nak pergi kedai", "")).cmi == 0
    assert measure(prediction("x y z lah", "", words=tags("x/ms y/ms z/en lah/particle"))).cmi == pytest.approx(100 / 3)


def test_optional_passes_change_both_sides_and_the_tags_follow() -> None:
    raw = measure(prediction("tq kawan, ada 23 orang", "thank you kawan ada dua puluh tiga orang"))
    assert raw.errors > 0
    passes = TextOptions(short_forms=True, numbers=True)
    score = measure(prediction("tq kawan, ada 23 orang", "thank you kawan ada dua puluh tiga orang"), passes)
    assert score.errors == 0
    assert score.reference_languages[:3] == ["en", "en", "ms"]
    english = measure(prediction("i have 3 kids", "i have three kids"), passes)
    assert english.errors == 0


def test_json_holds_what_a_report_needs() -> None:
    found = measure(prediction("satu dua", "satu")).to_json()
    assert found["ops"] == "=D"
    assert found["wer"] == 0.5
    assert found["deletions"] == 1
    assert found["reference_languages"] == ["ms", "ms"]


ANYTHING = st.text(
    alphabet=st.one_of(
        st.sampled_from("abc lah2'-.,<>|[]水果\u0b95\u0bbe\u200b\u0301ΑΣ \u3000"),
        st.characters(exclude_categories=["Cs"]),
    )
)


@settings(max_examples=150, deadline=None)
@given(ANYTHING, ANYTHING, st.sampled_from([TextOptions(), TextOptions(short_forms=True, numbers=True)]))
def test_any_text_can_be_scored(reference: str, hypothesis: str, text: TextOptions) -> None:
    score = measure(prediction(reference, hypothesis), text)
    assert len(score.reference_languages) == len(score.reference_words) == len(score.ops) - score.ops.count("I")
    assert len(score.hypothesis_languages) == len(score.hypothesis_words) == len(score.ops) - score.ops.count("D")
    assert measure(prediction(reference, reference), text).errors == 0


def test_what_is_too_long_to_align_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(align, "MAX_CELLS", 3)
    with pytest.raises(InputError, match="Utterance a: a reference of 2 words"):
        measure(prediction("satu dua", "tiga empat"))
