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
from typing import TYPE_CHECKING, Any, NamedTuple

from rojak.records import LANGUAGES, CodeSwitch, WordLanguage
from rojak.text import lexicon as lexicons
from rojak.text.normalize import normalize
from rojak.text.particles import Surroundings, decide_homograph
from rojak.text.units import words as split_words
from rojak.text.wordlists import load_word_lists, own_lists

if TYPE_CHECKING:
    from rojak.text.classifier import ClassifierTagger

_STAY = 0.85
"""Chance that the next Malay or English word is in the language of the one before."""
_RULE_CONFIDENCE = 0.95
"""Of a particle or its homograph, decided by rules."""
_SURE_CONFIDENCE = 0.99
"""Of a word tagged by its script or a list."""
_SENTENCE_ENDS = frozenset(".!?…。！？")
_PHRASE_ENDS = frozenset(',;:，、；：—–()[]"“”')
_CACHE_LIMIT = 500_000
_LONGEST_CACHED = 24
"""Characters. A whole Mandarin sentence is one chunk and hardly ever comes twice."""


class TaggedWord(NamedTuple):
    """A scoring unit with its language; `confidence` is the tagger's probability that the language is right."""

    word: str
    language: WordLanguage
    confidence: float


class _Piece(NamedTuple):
    """A unit and what is known of it; `pause` is 2 when a sentence ends behind it, 1 when a phrase does, else 0."""

    word: str
    entry: lexicons.Entry
    pause: int


class Tagger:
    """Word lists, model and caches; build it once with `load_tagger` and use it for any number of texts."""

    def __init__(self, lexicon: lexicons.Lexicon) -> None:
        """Take over the lists; nothing is computed yet."""
        self.lexicon = lexicon
        self._chunks: dict[str, tuple[tuple[_Piece, ...], int]] = {}

    def tag(self, text: str) -> list[TaggedWord]:
        """Tag every scoring unit of a text; see `tag_words`."""
        pieces = self._pieces(text)
        if not pieces:
            return []
        labels = _first_labels(pieces)
        self._apply_phrases(pieces, labels)
        cases = _telling_cases(pieces)
        _mark_names(pieces, labels, cases)
        confidences = [_SURE_CONFIDENCE] * len(pieces)
        if "?" in labels:
            _decide_particles(pieces, labels, cases, confidences)
            _mark_names(pieces, labels, cases)  # Once more: `wei` is a name now and makes one of `ling`.
        return _decide_malay_english(pieces, labels, confidences)

    def _pieces(self, text: str) -> list[_Piece]:
        if "<" in text:  # Mark-up such as <|ms|> or <noise> may hold spaces; only the normaliser knows where it ends.
            text = normalize(text)
        pieces: list[_Piece] = []
        for chunk in text.split():
            units, pause_before = self._chunks.get(chunk) or self._read_chunk(chunk)
            if pause_before and pieces:
                pieces[-1] = pieces[-1]._replace(pause=max(pieces[-1].pause, pause_before))
            pieces.extend(units)
        return pieces

    def _read_chunk(self, chunk: str) -> tuple[tuple[_Piece, ...], int]:
        """Cut the text between two spaces into units and remember them, with the pause before the first one."""
        outside = chunk[0] == "@" or "://" in chunk or chunk.lower().startswith("www.")
        lower = chunk.lower()
        units: list[_Piece] = []
        pause_before = place = 0
        for unit in split_words(normalize(chunk)):
            begin = lower.find(unit, place) if len(lower) == len(chunk) else -1
            word = chunk[begin : begin + len(unit)] if begin >= 0 else unit
            if begin >= 0:
                if units:
                    units[-1] = units[-1]._replace(pause=_pause(chunk[place:begin]))
                else:
                    pause_before = _pause(chunk[:begin])
                place = begin + len(unit)
            entry = self.lexicon.entry(word)
            units.append(_Piece(word, entry._replace(label="other", rules=None) if outside else entry, 0))
        if units:
            units[-1] = units[-1]._replace(pause=_pause(chunk[place:]))
        else:
            pause_before = _pause(chunk)
        result = tuple(units), pause_before
        if len(chunk) <= _LONGEST_CACHED:
            if len(self._chunks) > _CACHE_LIMIT:
                self._chunks.clear()
            self._chunks[chunk] = result
        return result

    def _apply_phrases(self, pieces: Sequence[_Piece], labels: list[str]) -> None:
        """Tag fixed phrases whose words would be taken apart wrongly one by one (air con, traffic jam)."""
        for start, piece in enumerate(pieces):
            if not piece.entry.opens_phrase:
                continue
            for words, language in self.lexicon.phrases[piece.entry.lower]:
                stretch = pieces[start : start + len(words)]
                if words == tuple(p.entry.lower for p in stretch) and not any(p.pause for p in stretch[:-1]):
                    labels[start : start + len(words)] = [language] * len(words)
                    break


def _first_labels(pieces: Sequence[_Piece]) -> list[str]:
    """Give each word its only possible tag, "?" to homographs of particles, "" to words for the model."""
    return [piece.entry.label or ("?" if piece.entry.rules else "") for piece in pieces]


def _pause(between: str) -> int:
    """Tell whether the characters between two words end a sentence (2), a phrase (1) or nothing (0)."""
    if not _SENTENCE_ENDS.isdisjoint(between):
        return 2
    return int(not _PHRASE_ENDS.isdisjoint(between))


def _telling_cases(pieces: Sequence[_Piece]) -> list[str]:
    """Give the case of each word where it tells something: not at a sentence's start, not in a text all capitals."""
    cases = [piece.entry.case for piece in pieces]
    if sum(map(bool, cases)) > max(1, len(pieces) // 2):
        return [""] * len(pieces)
    return [
        "" if case == "title" and (index == 0 or pieces[index - 1].pause == 2) else case
        for index, case in enumerate(cases)
    ]


def _names(pieces: Sequence[_Piece], labels: Sequence[str]) -> list[bool]:
    """Mark which of the words tagged `other` are names, and not digits or laughter."""
    return [
        label == "other" and (piece.entry.name > 0 or piece.entry.rules is not None or not piece.entry.known)
        for label, piece in zip(labels, pieces, strict=True)
    ]


def _mark_names(pieces: Sequence[_Piece], labels: list[str], cases: Sequence[str]) -> None:
    """Tag names: listed ones; doubtful ones in capitals, beside a name or behind a title; unknown words in capitals."""
    is_name = _names(pieces, labels)
    for index, piece in enumerate(pieces):
        entry = piece.entry
        if labels[index]:
            continue
        joined = index > 0 and pieces[index - 1].pause == 0
        beside = (joined and is_name[index - 1]) or (
            piece.pause == 0 and index + 1 < len(pieces) and (is_name[index + 1] or pieces[index + 1].entry.name == 2)
        )
        titled = joined and pieces[index - 1].entry.title
        if (
            entry.name == 2
            or (entry.name == 1 and (cases[index] or ((beside or titled) and not entry.common)))
            or (not entry.known and (cases[index] or (titled and not entry.rules)))
        ):
            labels[index] = "other"
            is_name[index] = True


def _decide_particles(
    pieces: Sequence[_Piece], labels: list[str], cases: Sequence[str], confidences: list[float]
) -> None:
    """Tell particles from their homographs by the rules that the particle table holds."""
    count = len(pieces)
    ends = [False] * count
    for index in range(count - 1, -1, -1):
        last = pieces[index].pause > 0 or index + 1 == count
        ends[index] = last or labels[index + 1] == "particle" or (labels[index + 1] == "?" and ends[index + 1])
    around = Surroundings(
        words=[piece.entry.lower for piece in pieces],
        starts=[True, *(piece.pause > 0 for piece in pieces[:-1])],
        ends=ends,
        languages=[
            label if label not in ("", "?") else "ms" if piece.entry.log_odds > 0 else "en"
            for label, piece in zip(labels, pieces, strict=True)
        ],
        names=_names(pieces, labels),
        cases=cases,
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
        piece.entry.log_odds
        if not label
        else lexicons.SURE
        if label == "ms"
        else -lexicons.SURE
        if label == "en"
        else 0.0
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


def load_tagger(extra_paths: tuple[Path, ...] | None = None) -> Tagger:
    """Build the tagger from the built-in lists and the user's YAML files, which may add particles, words and phrases.

    Args:
        extra_paths: The files; None takes those in force (`wordlists.own_lists`).

    Raises:
        ConfigError: A file cannot be read or holds something that is not allowed.
    """
    return _load_tagger(own_lists() if extra_paths is None else extra_paths)


@lru_cache(maxsize=8)
def _load_tagger(extra_paths: tuple[Path, ...]) -> Tagger:
    return Tagger(lexicons.Lexicon(load_word_lists(extra_paths)))


def tag_words(text: str, tagger: Tagger | None = None) -> list[TaggedWord]:
    """Give every scoring unit of a text its language.

    Args:
        text: Raw or normalised; punctuation and capitals help and are not needed. The units are those that
            `units.words(normalize(text))` gives, each as the text spells it.
        tagger: From `load_tagger`; None takes the one with the lists in force.
    """
    return (tagger or load_tagger()).tag(text)


def tag_lines(lines: Iterable[str], tagger: "Tagger | ClassifierTagger | None" = None) -> Iterator[dict[str, Any]]:
    """Tag texts one by one and give JSON-ready objects `{"text", "words": [{"word", "language", "confidence"}]}`."""
    tagger = tagger or load_tagger()
    for line in lines:
        text = line.rstrip("\r\n")
        words = [{"word": w, "language": lang, "confidence": round(c, 4)} for w, lang, c in tagger.tag(text)]
        yield {"text": text, "words": words}


def utterance_language(tagged: Sequence[TaggedWord]) -> str | None:
    """Give the one language of an utterance, `mixed` when it has two or more, or None when no word has a language."""
    found = {word.language for word in tagged} & set(LANGUAGES)
    return None if not found else found.pop() if len(found) == 1 else "mixed"


def code_mixing_index(tagged: Sequence[TaggedWord]) -> float:
    """Give the code-mixing index of an utterance: 0 for one language, up to 75 for four in equal parts.

    100 · (1 - max_i w_i / (n - u)) with w_i the words of language i, n all words and u the words of no language (here
    particles too); 0 when n = u. Source: Das and Gambäck, "Identifying Languages at the Word Level in Code-Mixed Indian
    Social Media Text", ICON 2014.
    """
    counts = [sum(word.language == language for word in tagged) for language in LANGUAGES]
    return 100.0 * (1 - max(counts) / sum(counts)) if any(counts) else 0.0


def code_switches(tagged: Sequence[TaggedWord]) -> tuple[CodeSwitch, ...]:
    """Give the stretches of words in another language than the utterance's main one.

    The main language is the one of most words, of the first word on a tie. Particles and names inside a stretch belong
    to it; those at its end do not.
    """
    spoken = [word.language for word in tagged if word.language in LANGUAGES]
    if not spoken:
        return ()
    main = max(dict.fromkeys(spoken), key=spoken.count)
    switches: list[CodeSwitch] = []
    start = end = -1
    for index, (_, language, _) in enumerate([*tagged, TaggedWord("", main, 1.0)]):
        if language not in LANGUAGES:
            continue
        if start >= 0 and language != tagged[start].language:
            switches.append(CodeSwitch(start_word=start, end_word=end, language=tagged[start].language))
            start = -1
        if language != main:
            start = index if start < 0 else start
            end = index + 1
    return tuple(switches)
