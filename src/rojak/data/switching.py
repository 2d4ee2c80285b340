"""Code-switched sentences, and particles where speakers put them.

Four ways to switch: a template that is mixed already (`can you tolong check this 文件`), a monolingual template with
noun phrases of another language, a turn of speech around a clause of another language, and two clauses joined.
Only pairs that Malaysians mix are made: ms-en, en-zh, ms-zh, en-ta, ms-ta.
Reads `resources/sentences_mixed.txt`, `turns.txt`, `particles_placed.txt`; writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rojak.data.sentences import (
    Sentence,
    Tagged,
    Template,
    fill_template,
    lexicon,
    mixed_templates,
    monolingual_clause,
    read_lines,
    templates,
)
from rojak.records import WordLanguage

MAX_WORDS = 14

_MATRIX_AND_EMBEDDED: dict[tuple[WordLanguage, WordLanguage], float] = {
    ("ms", "en"): 0.26,
    ("en", "ms"): 0.20,
    ("zh", "en"): 0.12,
    ("en", "zh"): 0.10,
    ("ms", "zh"): 0.08,
    ("zh", "ms"): 0.06,
    ("ta", "en"): 0.06,
    ("ta", "ms"): 0.04,
    ("en", "ta"): 0.04,
    ("ms", "ta"): 0.04,
}
_NOUN_SLOTS = frozenset([
    "food", "drink", "fruit", "item", "clothes", "device", "doc", "place", "eatery", "shop", "clinic", "school",
    "person", "animal", "subject", "vehicle", "job", "body",
])  # fmt: skip
_OTHER_SLOTS = frozenset(["adj", "adjd", "adjf", "adjp", "adja", "adjr", "adjt", "feel", "activity", "time"])
"""Slots that ms, en and zh may also borrow from each other; Tamil inflects them."""

_WAYS = ("template", "slots", "turn", "join")
_WAY_SHARES = (0.34, 0.24, 0.14, 0.28)
_COMPOUND_SHARE = 0.6
_TURN_SHARE = 0.15
"""Shares of monolingual sentences that are two clauses, or a clause with a turn of speech."""


@dataclass(frozen=True)
class Turn:
    """Words before or after a clause, or between two (`join`, with clause types `first-second`)."""

    place: str
    clause_types: str
    words: tuple[Tagged, ...]


def monolingual_sentence(language: WordLanguage, rng: np.random.Generator, particle_share: float) -> Sentence:
    """Make a sentence of one language; ms and en take particles in `particle_share` of the sentences that can."""
    with_particle = language in ("ms", "en") and rng.random() < particle_share
    first = monolingual_clause(language, rng)
    shape = rng.random()
    words: tuple[Tagged, ...] | None = None
    if shape < _COMPOUND_SHARE:
        words = _join(first, language, language, rng, with_particle)
    elif shape < _COMPOUND_SHARE + _TURN_SHARE:
        words = _add_turn(first, language, rng, with_particle)
    if words is None or len(words) > MAX_WORDS:
        words = _say(first, rng, {}, with_particle)
    return Sentence(words, language, first.topic)


def mixed_sentence(rng: np.random.Generator, particle_share: float) -> Sentence:
    """Make a sentence that switches inside, of at most `MAX_WORDS` words."""
    makers = {"template": _from_mixed_template, "slots": _with_borrowed_slots, "turn": _with_turn, "join": _joined}
    while True:
        way = _WAYS[rng.choice(len(_WAYS), p=_WAY_SHARES)]
        sentence = makers[way](rng, bool(rng.random() < particle_share))
        if sentence is not None and sentence.language == "mixed" and 3 <= len(sentence.words) <= MAX_WORDS:
            return sentence


def _from_mixed_template(rng: np.random.Generator, with_particle: bool) -> Sentence:
    choices = mixed_templates()
    template = choices[rng.integers(len(choices))]
    return Sentence(_say(template, rng, {}, with_particle), template.language, template.topic)


def _with_borrowed_slots(rng: np.random.Generator, with_particle: bool) -> Sentence | None:
    matrix, embedded = _draw_pair(rng)
    slots = _NOUN_SLOTS if "ta" in (matrix, embedded) else _NOUN_SLOTS | _OTHER_SLOTS
    template = monolingual_clause(matrix, rng)
    places = [index for index, part in enumerate(template.parts) if part.slot in slots & lexicon(embedded).keys()]
    if not places:
        return None
    first = places[rng.integers(len(places))]
    borrowed = {index: embedded for index in places if index == first or rng.random() < 0.25}
    return Sentence(_say(template, rng, borrowed, with_particle), matrix, template.topic)


def _with_turn(rng: np.random.Generator, with_particle: bool) -> Sentence | None:
    matrix, embedded = _draw_pair(rng)
    clause = monolingual_clause(matrix, rng)
    words = _add_turn(clause, embedded, rng, with_particle)
    return Sentence(words, matrix, clause.topic) if words else None


def _joined(rng: np.random.Generator, with_particle: bool) -> Sentence | None:
    matrix, other = _draw_pair(rng)
    first = monolingual_clause(matrix, rng)
    words = _join(first, other, matrix if rng.random() < 0.5 else other, rng, with_particle)
    return Sentence(words, matrix, first.topic) if words else None


def _add_turn(
    clause: Template, language: WordLanguage, rng: np.random.Generator, with_particle: bool
) -> tuple[Tagged, ...] | None:
    """Say a clause with a turn of speech of some language before or after it; None when no turn suits the clause."""
    choices = [turn for turn in _turns(language) if turn.place != "join" and clause.clause_type in turn.clause_types]
    if not choices:
        return None
    turn = choices[rng.integers(len(choices))]
    spoken = _say(clause, rng, {}, with_particle, may_open=turn.place == "after")
    return turn.words + spoken if turn.place == "before" else spoken + turn.words


def _join(
    first: Template, second_language: WordLanguage, joiner_language: WordLanguage, rng: np.random.Generator,
    with_particle: bool,
) -> tuple[Tagged, ...] | None:  # fmt: skip
    """Say a clause, a conjunction and a second clause of the same topic; None when nothing suits the first."""
    joiners = [
        turn
        for turn in _turns(joiner_language)
        if turn.place == "join" and first.clause_type in turn.clause_types.partition("-")[0]
    ]
    if not joiners:
        return None
    joiner = joiners[rng.integers(len(joiners))]
    second_types = joiner.clause_types.partition("-")[2]
    seconds = [
        template
        for template in templates(second_language)
        if template.topic == first.topic and template.clause_type in second_types and template is not first
    ]
    if not seconds:
        return None
    second = seconds[rng.integers(len(seconds))]
    return _say(first, rng, {}, False) + joiner.words + _say(second, rng, {}, with_particle, may_open=False)


def _draw_pair(rng: np.random.Generator) -> tuple[WordLanguage, WordLanguage]:
    pairs = list(_MATRIX_AND_EMBEDDED)
    return pairs[rng.choice(len(pairs), p=list(_MATRIX_AND_EMBEDDED.values()))]


def _say(
    template: Template,
    rng: np.random.Generator,
    borrowed: Mapping[int, WordLanguage],
    with_particle: bool,
    *,
    may_open: bool = True,
) -> tuple[Tagged, ...]:
    """Fill a clause and give it its particles; `may_open` tells that nothing was said before it."""
    has_pun = with_particle and any(not part.words and not part.slot for part in template.parts)
    with_pun = has_pun and rng.random() < 0.6
    words = fill_template(template, rng, borrowed=borrowed, pun=with_pun)
    if with_particle and (not with_pun or rng.random() < 0.3):
        words = _place_particle(words, template, rng, may_open)
    return words


def _place_particle(
    words: tuple[Tagged, ...], template: Template, rng: np.random.Generator, may_open: bool
) -> tuple[Tagged, ...]:
    """Open or close a clause with a particle that suits its type and language; none suits some clauses."""
    places = _placed_particles()
    if words[-1][0] in ("吧", "吗"):  # Mandarin has closed the clause with a particle of its own
        return words
    start = places.get(("start", template.clause_type, template.language)) if may_open else None
    end = places.get(("end", template.clause_type, template.language))
    if start and (end is None or rng.random() < (0.8 if template.clause_type == "g" else 0.15)):
        return ((_draw(start, rng), "particle"), *words)
    return (*words, (_draw(end, rng), "particle")) if end else words


def _draw(weights: dict[str, float], rng: np.random.Generator) -> str:
    shares = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(shares), p=shares / shares.sum())]


@lru_cache
def _placed_particles() -> dict[tuple[str, str, str], dict[str, float]]:
    """Give (place, clause type, language) → particle → weight."""
    table: dict[tuple[str, str, str], dict[str, float]] = {}
    for head, body in read_lines("particles_placed.txt"):
        place, clause_type, language = head.split()
        items = body.split()
        table[place, clause_type, language] = dict(zip(items[::2], map(float, items[1::2]), strict=True))
    return table


@lru_cache
def _turns(language: WordLanguage) -> tuple[Turn, ...]:
    """Give the turns of speech and conjunctions of one language."""
    turns = []
    for head, body in read_lines("turns.txt"):
        place, turn_language, clause_types = head.split()
        if turn_language == language:
            turns.append(Turn(place, clause_types, tuple((word, language) for word in body.split())))
    return tuple(turns)
