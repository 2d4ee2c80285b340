"""Tokens with times become words with times."""

import pytest

from rojak.export.runtimes.ctranslate2 import timed_words
from rojak.model.micro import build_tokenizer
from rojak.model.whisper import SpeechTokens


@pytest.fixture(scope="module")
def tokens() -> SpeechTokens:
    return SpeechTokens.of(build_tokenizer(["saya nak makan lah", "can you check"], 300))


@pytest.mark.parametrize("text", ["saya nak makan", "我喜欢 makan lah", "என்ன boss, 没有 jalan-jalan"])
def test_words_are_those_of_the_text_and_times_follow(tokens: SpeechTokens, text: str) -> None:
    ids = tokens.encode(text)
    times = [0.1 * place for place in range(len(ids) + 1)]
    words = timed_words(tokens, ids, "ms", times, [0.5] * len(ids))
    assert "".join(word.word for word in words) == text.replace(" ", "")
    assert len(words) == len(text.split()) + (2 if "我" in text else 1 if "没" in text else 0)
    spans = [(word.start or 0.0, word.end or 0.0) for word in words]
    assert spans[0][0] <= 0.1, "only a space may stand before it"
    assert spans[-1][1] == pytest.approx(times[-1])
    assert all(start < end for start, end in spans)
    assert words[0].language == ("ms" if text.startswith("saya") else "zh" if text.startswith("我") else "ta")
    assert [word.confidence for word in words] == pytest.approx([0.5] * len(words))


def test_half_a_character_does_not_end_the_world(tokens: SpeechTokens) -> None:
    ids = tokens.encode("我")[:-1]
    words = timed_words(tokens, ids, "zh", list(range(len(ids) + 1)), [1.0] * len(ids))
    assert [word.word for word in words] == ["�"]
    assert timed_words(tokens, [], "zh", [0.0], []) == ()
