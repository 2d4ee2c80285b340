"""Language tags and particle tokens in labels, and the way back from decoded tokens to words with languages."""

from dataclasses import replace
from pathlib import Path

import pytest

from rojak.errors import InputError
from rojak.model.labelling import LABELLING_FILE, Labelling, LanguageTags, read_labelling, write_labelling
from rojak.model.labels import label, word_languages
from rojak.model.micro import build_tokenizer
from rojak.model.pieces import cut_into_words
from rojak.model.whisper import SpeechTokens
from rojak.records import Utterance

TEXT = "Eh, can you tolong check 水果 lah"
WORDS = [
    *(("Eh", "particle"), ("can", "en"), ("you", "en"), ("tolong", "ms"), ("check", "en")),
    *(("水果", "zh"), ("lah", "particle")),
]


@pytest.fixture(scope="module")
def tokens() -> SpeechTokens:
    return SpeechTokens.of(build_tokenizer([TEXT, "this one boleh", "நன்றி"] * 5, 300))


def utterance(text: str = TEXT, words: list[tuple[str, str]] | None = None) -> Utterance:
    items = [{"word": word, "language": language} for word, language in (WORDS if words is None else words)]
    return Utterance.model_validate(
        {"audio_id": "a", "audio_filepath": "a", "text": text, "duration": 2.0, "words": items or None}
    )


def tagging(tokens: SpeechTokens, mode: LanguageTags) -> SpeechTokens:
    return replace(tokens, labelling=Labelling(mode))


def spelt(tokens: SpeechTokens, ids: list[int]) -> str:
    """Write the label with its tags, as a reader of the design would."""
    codes = {token: f"<{code}>" for code, token in tokens.languages.items()}
    parts, text = [], []
    for token in [*ids, None]:
        if token is None or token in codes:
            parts.append(tokens.tokenizer.decode(text))
            parts.append(codes.get(token, ""))
            text = []
        else:
            text.append(token)
    return "".join(parts)


def test_without_tags_a_label_is_the_plain_text_s(tokens: SpeechTokens) -> None:
    ids, places, language = label(tokens, utterance(), "ms")
    assert ids == tokens.encode(TEXT)
    assert places == tokens.places(TEXT)
    assert language == "ms"


def test_a_tag_follows_every_word_that_has_a_language(tokens: SpeechTokens) -> None:
    ids, places, language = label(tagging(tokens, "word"), utterance(), "ms")
    assert spelt(tokens, ids) == " Eh, can<en> you<en> tolong<ms> check<en> 水果<zh> lah"
    assert tokens.decode(ids) == TEXT
    assert [place is None for place in places] == [token > tokens.end for token in ids]
    assert language == "zh"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("ms", " Eh,<en> can you<ms> tolong<en> check<zh> 水果 lah"),
        ("en", " Eh, can you<ms> tolong<en> check<zh> 水果 lah"),
    ],
)
def test_a_tag_stands_before_every_switch_away_from_the_prompt_s_language(
    prompt: str, expected: str, tokens: SpeechTokens
) -> None:
    assert spelt(tokens, label(tagging(tokens, "switch"), utterance(), prompt).ids) == expected


@pytest.mark.parametrize("mode", ["switch", "word"])
@pytest.mark.parametrize("prompt", ["ms", "en"])
def test_languages_are_read_back_as_they_were_written(mode: LanguageTags, prompt: str, tokens: SpeechTokens) -> None:
    tagged = tagging(tokens, mode)
    ids = label(tagged, utterance(), prompt).ids
    pieces = cut_into_words(tagged, ids)
    assert [piece.word for piece in pieces] == ["Eh,", "can", "you", "tolong", "check", "水", "果", "lah"]
    found = word_languages(tagged, ids, pieces, prompt)
    assert found == ["particle", "en", "en", "ms", "en", "zh", "zh", "particle"]


@pytest.mark.parametrize("mode", ["switch", "word"])
def test_the_tags_and_not_the_text_decide(mode: LanguageTags, tokens: SpeechTokens) -> None:
    tagged = tagging(tokens, mode)
    ids = label(tagged, utterance("tolong check", [("tolong", "en"), ("check", "ms")]), "ms").ids
    assert word_languages(tagged, ids, cut_into_words(tagged, ids), "ms") == ["en", "ms"]


def test_an_untagged_homograph_is_a_particle_where_every_word_is_tagged(tokens: SpeechTokens) -> None:
    tagged = tagging(tokens, "word")
    for language in ("particle", "en"):
        ids = label(tagged, utterance("this one", [("this", "en"), ("one", language)]), "en").ids
        assert word_languages(tagged, ids, cut_into_words(tagged, ids), "en") == ["en", language]


def test_where_the_record_s_words_are_not_the_text_s_the_tagger_says_the_languages(tokens: SpeechTokens) -> None:
    wrong = utterance("boleh you", [("something", "en")])
    assert spelt(tokens, label(tagging(tokens, "word"), wrong, "en").ids) == " boleh<ms> you<en>"


def test_a_label_that_would_not_fit_goes_without_tags(tokens: SpeechTokens) -> None:
    text = " ".join(["a"] * 300)
    long = utterance(text, [("a", "en")] * 300)
    assert label(tagging(tokens, "word"), long, "en").ids == tokens.encode(text)
    short = utterance(text[:100], [("a", "en")] * 50)
    assert len(label(tagging(tokens, "word"), short, "en").ids) == len(tokens.encode(text[:100])) + 50


def test_characters_cut_over_several_tokens_and_broken_ones_make_whole_words(tokens: SpeechTokens) -> None:
    ids = tokens.encode("நல்ல 你")
    assert [piece.word for piece in cut_into_words(tokens, ids)] == ["நல்ல", "你"]
    broken = [*ids[:-1], *tokens.encode("lah")]
    words = [piece.word for piece in cut_into_words(tokens, broken)]
    assert words[0].startswith("நல்ல")  # What is no character is no word either.
    assert words[1:] == ["lah"]


def test_labelling_is_kept_beside_the_weights_and_a_plain_model_needs_none(tmp_path: Path) -> None:
    write_labelling(tmp_path, Labelling())
    assert not list(tmp_path.iterdir())
    assert read_labelling(tmp_path) == Labelling()
    write_labelling(tmp_path, Labelling("switch", {"lah": 124}))
    assert read_labelling(tmp_path) == Labelling("switch", {"lah": 124})


@pytest.mark.parametrize("text", ['{"language_tags": "all", "particle_tokens": {}}', "[]", '{"language_tags": "none"}'])
def test_a_labelling_that_makes_no_sense_gets_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / LABELLING_FILE).write_text(text)
    with pytest.raises(InputError, match=r"rojak\.json is not what Rojak writes"):
        read_labelling(tmp_path)
