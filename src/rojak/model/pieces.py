"""The words of decoded token ids: which tokens spell each, and which language the text alone makes it.

Takes token ids, gives words; reads and writes no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rojak.model.whisper import SpeechTokens
from rojak.records import WordLanguage
from rojak.text.language import tag_words
from rojak.text.normalize import normalize
from rojak.text.units import words as split_words

_ODD_BYTES = "surrogateescape"
"""How bytes that are no UTF-8 are carried through: one character each, so that places can be counted."""


@dataclass(frozen=True)
class Piece:
    """A word and the places of its tokens in the token sequence it was cut from."""

    word: str
    tokens: tuple[int, ...]


def cut_into_words(tokens: SpeechTokens, ids: Sequence[int]) -> list[Piece]:
    """Cut decoded token ids into words; control tokens and timestamps belong to none.

    A token that holds the end of one word and the start of the next belongs to the one it starts with.
    """
    raw = bytearray()
    starts: list[tuple[int, int]] = []
    for place, token in enumerate(ids):
        if token < tokens.end:
            piece = token_bytes(tokens, token)
            lead = len(piece) - len(piece.lstrip(b" ")) if piece.strip(b" ") else 0
            starts.append((place, len(raw) + lead))
            raw += piece
    text = raw.decode("utf-8", errors=_ODD_BYTES)
    ends = np.cumsum([len(char.encode("utf-8", errors=_ODD_BYTES)) for char in text]).tolist()
    pieces: list[tuple[str, int]] = []
    position = 0
    for word in split_words(text):
        at = text.index(word, position)
        position = at + len(word)
        if pieces and not any(char.isalnum() for char in word):
            pieces[-1] = (pieces[-1][0] + text[pieces[-1][1] : position], position)
        else:
            pieces.append((word, position))
    owners: list[list[int]] = [[] for _ in pieces]
    limits = [ends[end - 1] for _, end in pieces]
    current = 0
    for place, start in starts:
        while current < len(limits) and start >= limits[current]:
            current += 1
        if current < len(limits):
            owners[current].append(place)
    cut: list[Piece] = []
    for (spelt, _), own in zip(pieces, owners, strict=True):
        word = spelt.encode("utf-8", errors=_ODD_BYTES).decode("utf-8", errors="replace")
        if own or not cut:
            cut.append(Piece(word, tuple(own)))
        else:  # Two Han characters of one token: they share its time.
            cut.append(Piece(word, cut[-1].tokens))
    return [piece for piece in cut if piece.tokens]


def token_bytes(tokens: SpeechTokens, token: int) -> bytes:
    """Give the bytes that a text token stands for; one may hold a part of a character only."""
    table = _byte_of_character()
    name: str = tokens.tokenizer.convert_ids_to_tokens(token)
    return bytes(table[char] for char in name) if all(char in table for char in name) else name.encode()


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """Give GPT-2's table from printable characters to bytes (Radford et al., 2019), in which vocabularies are spelt."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def languages_of(words: Sequence[str]) -> list[WordLanguage]:
    """Give each word of a transcript its language by the word tagger, which sees them all."""
    tagged = tag_words(" ".join(words))
    counts = [len(split_words(normalize(word))) for word in words]
    if sum(counts) != len(tagged):  # Normalised alone, a word may be cut otherwise than inside its sentence.
        return [tagged[0].language if (tagged := tag_words(word)) else "other" for word in words]
    starts = [sum(counts[:number]) for number in range(len(counts))]
    return [tagged[start].language if count else "other" for start, count in zip(starts, counts, strict=True)]
