"""Sentences of everyday Malaysian speech from a grammar: every word with its language.

Reads `resources/words_<language>.txt` (slots and their entries) and `resources/sentences_<language>.txt` (templates).
A template belongs to a topic and a clause type; the type decides which particles may close it (see `switching.py`).
The vocabulary was picked by hand, with the lists of wordfreq (CC BY-SA 4.0) at hand for common words.
Writes nothing.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

import numpy as np

from rojak.records import LANGUAGES, CodeSwitch, Split, WordLanguage

RESOURCES_DIR = Path(__file__).parent / "resources"

Tagged = tuple[str, WordLanguage]
"""A word and its language."""

CLAUSE_TYPES = "sednqwrog"
"""Statement, evaluation, done, ends in a wanted thing, yes/no question, other question, request, suggestion, giving."""

_TEMPLATE_PART = re.compile(
    r"<(?P<lang>\w\w) (?P<inline>[^>]+)>"
    r"|\{(?P<slot>\w+)(?::(?P<slot_lang>\w\w))?\}"
    r"|(?P<pun>\[pun\])"
    r"|(?P<word>[^\s<>{}\[\]]+)"
)
_WORDS_SHARE = 0.08
_SPLIT_SHARES: tuple[tuple[Split, float], ...] = (("train", 0.80), ("validation", 0.88), ("test", 1.0))


@dataclass(frozen=True)
class Part:
    """A piece of a template: fixed `words`, or a `slot` to fill, or (neither) the place where `pun` may stand."""

    language: WordLanguage
    words: tuple[str, ...] = ()
    slot: str = ""


@dataclass(frozen=True)
class Template:
    """A clause with open slots; `language` is its matrix language, `clause_type` a letter of `CLAUSE_TYPES`."""

    language: WordLanguage
    topic: str
    clause_type: str
    parts: tuple[Part, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the open slots, in order."""
        return tuple(part.slot for part in self.parts if part.slot)


@dataclass(frozen=True)
class Sentence:
    """A sentence as (word, language) pairs; a Mandarin word is one lexical item of several characters."""

    words: tuple[Tagged, ...]
    matrix: WordLanguage
    topic: str

    @property
    def text(self) -> str:
        """The transcript: spaces between words, none between two Mandarin words."""
        pieces: list[str] = []
        previous: WordLanguage | None = None
        for word, language in self.words:
            is_han = _is_han(word)
            pieces.append(word if previous is None or (is_han and previous == "zh") else f" {word}")
            previous = "zh" if is_han else language
        return "".join(pieces)

    @property
    def language(self) -> Literal["ms", "en", "zh", "ta", "mixed"]:
        """The utterance's language: `mixed` when words of more than one language stand in it."""
        spoken = {language for _, language in self.words if language in LANGUAGES}
        return spoken.pop() if len(spoken) == 1 else "mixed"  # type: ignore[return-value]

    @property
    def split(self) -> Split:
        """The split this sentence belongs to, in every corpus of every seed, whatever particles are added to it."""
        key = " ".join(word.casefold() for word, language in self.words if language != "particle")
        share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48
        return next(split for split, limit in _SPLIT_SHARES if share < limit)

    @property
    def code_switches(self) -> tuple[CodeSwitch, ...]:
        """The stretches of words in another language than the matrix; particles and names belong to no stretch."""
        switches: list[CodeSwitch] = []
        for index, (_, language) in enumerate(self.words):
            if language == self.matrix or language not in LANGUAGES:
                continue
            if switches and switches[-1].end_word == index and switches[-1].language == language:
                switches[-1] = CodeSwitch(start_word=switches[-1].start_word, end_word=index + 1, language=language)
            else:
                switches.append(CodeSwitch(start_word=index, end_word=index + 1, language=language))
        return tuple(switches)


def _is_han(word: str) -> bool:
    return "\u4e00" <= word[0] <= "\u9fff"


def read_lines(name: str) -> Iterator[tuple[str, str]]:
    """Give the `head | body` (or `head: body`) lines of a resource file, without comments."""
    for line in (RESOURCES_DIR / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            head, _, body = line.partition("|" if "|" in line else ":")
            yield head.strip(), body.strip()


@lru_cache
def lexicon(language: WordLanguage) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Give slot name → entries (each a tuple of words) of one language."""
    return {
        slot: tuple(tuple(entry.split()) for entry in entries.split(","))
        for slot, entries in read_lines(f"words_{language}.txt")
    }


@lru_cache
def templates(language: WordLanguage) -> tuple[Template, ...]:
    """Give the monolingual templates of one language."""
    return tuple(_parse_template(f"{language} {head}", body) for head, body in read_lines(f"sentences_{language}.txt"))


@lru_cache
def mixed_templates() -> tuple[Template, ...]:
    """Give the templates whose fixed words already stand in more than one language."""
    return tuple(_parse_template(head, body) for head, body in read_lines("sentences_mixed.txt"))


def _parse_template(head: str, body: str) -> Template:
    """Parse `language topic type` and a template."""
    language, topic, clause_type = cast(tuple[WordLanguage, str, str], tuple(head.split()))
    parts: list[Part] = []
    for match in _TEMPLATE_PART.finditer(body):
        if match["inline"]:
            parts.append(Part(match["lang"], tuple(match["inline"].split())))  # type: ignore[arg-type]
        elif match["slot"]:
            parts.append(Part(match["slot_lang"] or language, slot=match["slot"]))  # type: ignore[arg-type]
        else:
            parts.append(Part(language, (match["word"],) if match["word"] else ()))
    assert clause_type in CLAUSE_TYPES, f"unknown clause type in {topic} {clause_type} | {body}"
    return Template(language, topic, clause_type, tuple(parts))


def fill_slot(slot: str, language: WordLanguage, rng: np.random.Generator) -> list[Tagged]:
    """Draw an entry of a slot; names of people, and of towns in Latin letters, belong to no language (`other`)."""
    entries = lexicon(language)[slot]
    is_name = slot == "name" or (slot == "city" and language in ("ms", "en"))
    tag: WordLanguage = "other" if is_name else language
    return [(word, tag) for word in entries[rng.integers(len(entries))]]


def fill_template(
    template: Template, rng: np.random.Generator, *, borrowed: Mapping[int, WordLanguage], pun: bool
) -> tuple[Tagged, ...]:
    """Fill the slots of a template.

    Args:
        template: The clause.
        rng: Source of the entries drawn.
        borrowed: Part index → language, for slots to be filled from another language's entries.
        pun: Say the particle `pun` where the template marks a place for it.
    """
    words: list[Tagged] = []
    for index, part in enumerate(template.parts):
        if part.words:
            words.extend((word, part.language) for word in part.words)
        elif part.slot:
            filling = fill_slot(part.slot, borrowed.get(index, part.language), rng)
            if set(filling) <= set(words):  # "noodles or noodles"
                filling = fill_slot(part.slot, borrowed.get(index, part.language), rng)
            words.extend(filling)
        elif pun:
            words.append(("pun", "particle"))
    return tuple(words)


def monolingual_clause(language: WordLanguage, rng: np.random.Generator) -> Template:
    """Draw a monolingual template; those of the topic `words`, which hold the rarer vocabulary, in `_WORDS_SHARE`."""
    wants_words = rng.random() < _WORDS_SHARE
    choices = [template for template in templates(language) if (template.topic == "words") == wants_words]
    return choices[rng.integers(len(choices))]
