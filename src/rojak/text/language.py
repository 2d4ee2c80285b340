"""The language of each word: ms, en, zh, ta, particle or other (names, digits and what belongs to no language).

Script decides Mandarin and Tamil. Between Malay and English stands a hidden Markov model of two states: what a word
says by itself comes from `lexicon`, and the words around it pull it towards their language. Particles and names come
before that, by the rules of `resources/*.yaml`. Words are the scoring units of `units.words`: single Han characters,
else words.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from rojak.records import CodeSwitch, WordLanguage
from rojak.text import lexicon as lexicons
from rojak.text.normalize import normalize
from rojak.text.particles import Surroundings, decide_homograph
from rojak.text.units import words as split_words
from rojak.text.wordlists import load_word_lists

_STAY = 0.85
"""Chance that the next Malay or English word is in the language of the one before."""
_RULE_CONFIDENCE = 0.95
_SURE_CONFIDENCE = 0.99
_PHRASE_ENDS = frozenset('.,;:!?…。，！？、；：\n—–()[]"“”')
_CACHE_LIMIT = 500_000


class TaggedWord(NamedTuple):
    """A scoring unit with its language; `confidence` is the tagger's probability that the language is right."""

    word: str
    language: WordLanguage
    confidence: float


class _Piece(NamedTuple):
    """A unit of a chunk (the text between two spaces) and what is known of it."""

    word: str
    entry: lexicons.Entry
    ends_phrase: bool


class Tagger:
    """Word lists, model and caches; build it once with `load_tagger` and use it for any number of texts."""

    def __init__(self, lexicon: lexicons.Lexicon) -> None:
        """Take over the lists; nothing is computed yet."""
        self.lexicon = lexicon
        self._chunks: dict[str, tuple[tuple[_Piece, ...], bool]] = {}

    def tag(self, text: str) -> list[TaggedWord]:
        """Tag every scoring unit of a text; see `tag_words`."""
        pieces = self._pieces(text)
        if not pieces:
            return []
        labels = _first_labels(pieces)
        self._apply_phrases(pieces, labels)
        _mark_names(pieces, labels)
        confidences = [_SURE_CONFIDENCE] * len(pieces)
        if any(label == "?" for label in labels):
            _decide_particles(pieces, labels, confidences)
        return _decide_malay_english(pieces, labels, confidences)

    def _pieces(self, text: str) -> list[_Piece]:
        if "<" in text:  # Mark-up such as <|ms|> or <noise> may hold spaces; only the normaliser knows where it ends.
            text = normalize(text)
        pieces: list[_Piece] = []
        for chunk in text.split():
            found = self._chunks.get(chunk)
            if found is None:
                found = self._read_chunk(chunk)
            units, parted = found
            if parted and pieces and not pieces[-1].ends_phrase:
                pieces[-1] = pieces[-1]._replace(ends_phrase=True)
            pieces.extend(units)
        return pieces

    def _read_chunk(self, chunk: str) -> tuple[tuple[_Piece, ...], bool]:
        """Cut a chunk into units and remember them; the flag tells that a phrase ends before the chunk."""
        outside = chunk[0] == "@" or "://" in chunk or chunk.lower().startswith("www.")
        lower = chunk.lower()
        same_length = len(lower) == len(chunk)
        units: list[_Piece] = []
        parted, place = False, 0
        for unit in split_words(normalize(chunk)):
            begin = lower.find(unit, place) if same_length else -1
            word = chunk[begin : begin + len(unit)] if begin >= 0 else unit
            if begin >= 0:
                if not _PHRASE_ENDS.isdisjoint(chunk[place:begin]):
                    parted = parted or not units
                    units[-1:] = [piece._replace(ends_phrase=True) for piece in units[-1:]]
                place = begin + len(unit)
            entry = self.lexicon.entry(word)
            units.append(_Piece(word, entry._replace(label="other", rules=None) if outside else entry, False))
        rest = chunk[place:]
        if units:
            units[-1] = units[-1]._replace(ends_phrase=not _PHRASE_ENDS.isdisjoint(rest))
        else:
            parted = not _PHRASE_ENDS.isdisjoint(chunk)
        if len(self._chunks) > _CACHE_LIMIT:
            self._chunks.clear()
        result = self._chunks[chunk] = (tuple(units), parted)
        return result

    def _apply_phrases(self, pieces: Sequence[_Piece], labels: list[str]) -> None:
        """Tag fixed phrases whose words would be taken apart wrongly one by one (air con, traffic jam)."""
        for start, piece in enumerate(pieces):
            if not piece.entry.opens_phrase:
                continue
            for words, language in self.lexicon.phrases[piece.entry.lower]:
                if words == tuple(p.entry.lower for p in pieces[start : start + len(words)]):
                    labels[start : start + len(words)] = [language] * len(words)
                    break


def _first_labels(pieces: Sequence[_Piece]) -> list[str]:
    """Give each word its only possible tag, "?" to homographs of particles, "" to words for the model."""
    return [piece.entry.label or ("?" if piece.entry.rules else "") for piece in pieces]


def _mark_names(pieces: Sequence[_Piece], labels: list[str]) -> None:
    """Tag names: listed ones, doubtful ones beside a name or in capitals, and unknown words in capitals."""
    cases = [piece.entry.case for piece in pieces]
    capitals = sum(map(bool, cases))
    speaking = 0 < capitals <= max(1, len(pieces) // 2)  # Capitals tell names only where not everything has them.
    fresh = True
    for index, piece in enumerate(pieces):
        entry, label = piece.entry, labels[index]
        capital = speaking and not fresh and cases[index] != ""
        fresh = piece.ends_phrase
        if label:
            continue
        beside = (index > 0 and labels[index - 1] == "other" and pieces[index - 1].entry.name > 0) or (
            index + 1 < len(pieces) and pieces[index + 1].entry.name == 2 and not piece.ends_phrase
        )
        if (
            entry.name == 2
            or (entry.name == 1 and (capital or beside))
            or (capital and not entry.known)
            or (speaking and entry.case == "upper" and not entry.known)
        ):
            labels[index] = "other"


def _decide_particles(pieces: Sequence[_Piece], labels: list[str], confidences: list[float]) -> None:
    """Tell particles from their homographs by the rules that the particle table holds."""
    count = len(pieces)
    ends = [
        piece.ends_phrase or index + 1 == count or labels[index + 1] == "particle" for index, piece in enumerate(pieces)
    ]
    around = Surroundings(
        words=[piece.entry.lower for piece in pieces],
        starts=[True, *ends[:-1]],
        ends=ends,
        languages=[
            label if label not in ("", "?") else "ms" if piece.entry.log_odds > 0 else "en"
            for label, piece in zip(labels, pieces, strict=True)
        ],
        names=[label == "other" and piece.entry.name > 0 for label, piece in zip(labels, pieces, strict=True)],
        cases=[piece.entry.case for piece in pieces],
    )
    for index, piece in enumerate(pieces):
        if labels[index] == "?":
            tag = decide_homograph(piece.entry.rules or (), around, index)
            labels[index] = "" if tag == "context" else tag
            confidences[index] = _RULE_CONFIDENCE


def _decide_malay_english(pieces: Sequence[_Piece], labels: list[str], confidences: list[float]) -> list[TaggedWord]:
    """Give every word still open the likelier of Malay and English by the forward-backward algorithm.

    Messages are log-odds Malay : English. Particles and names pass them on; Mandarin and Tamil pass them on too, since
    the language around an embedded stretch goes on behind it more often than not.
    """
    evidence = [
        piece.entry.log_odds if not label else 8.0 if label == "ms" else -8.0 if label == "en" else 0.0
        for piece, label in zip(pieces, labels, strict=True)
    ]
    forward: list[float] = []
    message = 0.0
    for value in evidence:
        forward.append(message)
        message = _pass_on(message + value) if value else message
    tagged: list[TaggedWord] = []
    message = 0.0
    for index in range(len(pieces) - 1, -1, -1):
        piece, label, confidence, value = pieces[index], labels[index], confidences[index], evidence[index]
        if not label:
            odds = value + forward[index] + message
            label = "ms" if odds > 0 else "en"
            confidence = 1 / (1 + math.exp(-abs(odds)))
        tagged.append(TaggedWord(piece.word, label, confidence))  # type: ignore[arg-type]
        message = _pass_on(message + value) if value else message
    tagged.reverse()
    return tagged


def _pass_on(odds: float) -> float:
    """Carry log-odds of one word to the next: log((p·stay + (1 - p)·leave) / (p·leave + (1 - p)·stay))."""
    ratio = math.exp(odds)
    return math.log((ratio * _STAY + 1 - _STAY) / (ratio * (1 - _STAY) + _STAY))


@lru_cache(maxsize=8)
def load_tagger(extra_paths: tuple[Path, ...] = ()) -> Tagger:
    """Build the tagger from the built-in lists and the user's YAML files, which may add particles, words and phrases.

    Raises:
        ConfigError: A file cannot be read or holds something that is not allowed.
    """
    return Tagger(lexicons.Lexicon(load_word_lists(extra_paths)))


def tag_words(text: str, tagger: Tagger | None = None) -> list[TaggedWord]:
    """Give every scoring unit of a text its language.

    Args:
        text: Raw or normalised; punctuation and capitals help and are not needed. The units are those that
            `units.words(normalize(text))` gives, each as the text spells it.
        tagger: One with a user's lists, from `load_tagger`; None takes the built-in one.
    """
    return (tagger or load_tagger()).tag(text)


def tag_lines(lines: Iterable[str], tagger: Tagger | None = None) -> Iterator[dict[str, Any]]:
    """Tag texts one by one and give JSON-ready objects `{"text", "words": [{"word", "language", "confidence"}]}`."""
    tagger = tagger or load_tagger()
    for line in lines:
        text = line.rstrip("\r\n")
        words = [{"word": w, "language": lang, "confidence": round(c, 4)} for w, lang, c in tagger.tag(text)]
        yield {"text": text, "words": words}


_SPOKEN = ("ms", "en", "zh", "ta")


def utterance_language(tagged: Sequence[TaggedWord]) -> str | None:
    """Give the one language of an utterance, `mixed` when it has two or more, or None when no word has a language."""
    found = {word.language for word in tagged} & set(_SPOKEN)
    return None if not found else found.pop() if len(found) == 1 else "mixed"


def code_mixing_index(tagged: Sequence[TaggedWord]) -> float:
    """Give the code-mixing index of an utterance: 0 for one language, up to 75 for four in equal parts.

    100 · (1 - max_i w_i / (n - u)) with w_i the words of language i, n all words and u the words of no language (here
    particles too); 0 when n = u. Source: Das and Gambäck, "Identifying Languages at the Word Level in Code-Mixed Indian
    Social Media Text", ICON 2014, equation 1.
    """
    counts = [sum(word.language == language for word in tagged) for language in _SPOKEN]
    return 100.0 * (1 - max(counts) / sum(counts)) if any(counts) else 0.0


def code_switches(tagged: Sequence[TaggedWord]) -> tuple[CodeSwitch, ...]:
    """Give the stretches of words in another language than the utterance's main one.

    The main language is the one of most words, of the first word on a tie. Particles and names inside a stretch belong
    to it; those at its end do not.
    """
    spoken = [word.language for word in tagged if word.language in _SPOKEN]
    if not spoken:
        return ()
    main = max(dict.fromkeys(spoken), key=spoken.count)
    switches: list[CodeSwitch] = []
    start = end = -1
    for index, (_, language, _) in enumerate([*tagged, TaggedWord("", main, 1.0)]):
        if language not in _SPOKEN:
            continue
        if start >= 0 and language != tagged[start].language:
            switches.append(CodeSwitch(start_word=start, end_word=end, language=tagged[start].language))
            start = -1
        if language != main:
            start = index if start < 0 else start
            end = index + 1
    return tuple(switches)
