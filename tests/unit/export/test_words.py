"""Tokens become words with times; bytes of tokens; dynamic time warping."""

import numpy as np
import pytest
import torch

from rojak.export.runtimes.words import heard_words, token_times, warp
from rojak.export.vocabulary import token_bytes
from rojak.model.micro import build_tokenizer
from rojak.model.whisper import SpeechTokens


@pytest.fixture(scope="module")
def tokens() -> SpeechTokens:
    return SpeechTokens.of(build_tokenizer(["saya nak makan lah", "can you check"], 300))


@pytest.mark.parametrize("text", ["saya nak makan", "我喜欢 makan lah", "என்ன boss, 没有 jalan-jalan"])
def test_words_are_those_of_the_text_and_times_follow(tokens: SpeechTokens, text: str) -> None:
    ids = tokens.encode(text)
    assert (
        b"".join(token_bytes(piece) for piece in tokens.tokenizer.convert_ids_to_tokens(ids))
        == (("" if text[0] == "我" else " ") + text).encode()
    )
    times = [0.1 * place for place in range(len(ids) + 1)]
    words = heard_words(tokens, ids, times, [0.5] * len(ids))
    assert "".join(word.word for word in words) == text.replace(" ", "")
    assert len(words) == len(text.split()) + (2 if "我" in text else 1 if "没" in text else 0)
    assert words[0].start_s <= 0.1, "only a space may stand before it"
    assert words[-1].end_s == times[-1]
    assert all(word.start_s < word.end_s for word in words)
    assert {word.probability for word in words} == {0.5}


def test_half_a_character_does_not_end_the_world(tokens: SpeechTokens) -> None:
    ids = tokens.encode("我")[:-1]
    assert [word.word for word in heard_words(tokens, ids, list(range(len(ids) + 1)), [1.0] * len(ids))] == ["�"]
    assert heard_words(tokens, [], [0.0], []) == ()


def test_every_byte_has_a_letter() -> None:
    assert token_bytes("Ġlah") == b" lah"
    assert token_bytes("æĪĳ") == "我".encode()
    assert token_bytes("<|ms|>") == b"<|ms|>"


def test_warping_takes_the_cheapest_path() -> None:
    cost = np.array([[0, 0, 9, 9, 9], [9, 9, 0, 9, 9], [9, 9, 9, 0, 0]], float)
    assert warp(cost) == [0, 2, 3]
    assert warp(np.zeros((1, 4))) == [0]


def test_times_are_where_the_attention_is() -> None:
    attention = torch.full((2, 4, 60), 1e-4)
    for token, start in enumerate((0, 15, 30, 45)):
        attention[:, token, start : start + 15] = 0.9
    assert token_times(attention, 60) == pytest.approx([0.0, 0.3, 0.6, 0.9], abs=0.021)
    assert max(token_times(attention, 20)) <= 0.4
