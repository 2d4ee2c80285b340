"""Discourse particles (lah, meh, kot ...): canonical forms, other spellings, and rules for those that are also words.

The table itself is `resources/particles.yaml`; a user's file of the same shape extends it. Spelling alone cannot tell
whether `one` or `kan` is a particle in a sentence: `language.tag_words` decides that with the rules kept here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rojak.errors import ConfigError
from rojak.text.wordlists import Particle, Rule, load_word_lists, own_lists

_RUN = re.compile(r"(\w)\1{2,}")
_DOUBLE_END = re.compile(r"([^\Weo\d])\1$")


@dataclass(frozen=True)
class ParticleTable:
    """Spellings of particles and what is known about each.

    Attributes:
        canonical_forms: The particles, in the order of the file.
        spelling_to_form: Every listed spelling and its canonical form.
        spelling_to_rules: For spellings that are also another word, the rules that tell; absent for all others.
    """

    canonical_forms: tuple[str, ...]
    spelling_to_form: dict[str, str]
    spelling_to_rules: dict[str, tuple[Rule, ...]]

    def listed_spelling(self, word: str) -> str | None:
        """Give the listed spelling that a word stands for, drawn-out endings undone (`lahhh` → `lah`), or None."""
        word = word.lower()
        if word in self.spelling_to_form:
            return word
        for squeezed in (_DOUBLE_END.sub(r"\1", word), _RUN.sub(r"\1", word)):
            if squeezed in self.spelling_to_form:
                return squeezed
        return None

    def canonical(self, word: str) -> str | None:
        """Give the canonical particle that a word spells, or None; spelling only, so `one` always gives `one`."""
        spelling = self.listed_spelling(word)
        return None if spelling is None else self.spelling_to_form[spelling]

    def is_homograph(self, word: str) -> bool:
        """Tell whether a spelling is a particle in some places and another word elsewhere."""
        return self.listed_spelling(word) in self.spelling_to_rules


def load_particles(extra_paths: tuple[Path, ...] | None = None) -> ParticleTable:
    """Build the table from the built-in list and the user's YAML files; None takes those in force.

    Raises:
        ConfigError: A file is unreadable or wrong, or two particles claim the same spelling.
    """
    return _load_particles(own_lists() if extra_paths is None else extra_paths)


@lru_cache(maxsize=8)
def _load_particles(extra_paths: tuple[Path, ...]) -> ParticleTable:
    return build_table(load_word_lists(extra_paths).particles)


def build_table(particles: dict[str, Particle | None]) -> ParticleTable:
    """Turn named particles into a table; a name with None (a user's `name: null`) is left out."""
    kept = {name.lower(): particle for name, particle in particles.items() if particle is not None}
    forms: dict[str, str] = {}
    rules: dict[str, tuple[Rule, ...]] = {}
    for name, particle in kept.items():
        for spelling in (name, *sorted(particle.variants)):
            other = forms.setdefault(spelling, name)
            if other != name:
                raise ConfigError(f"Particles {other} and {name} both claim the spelling {spelling}; keep it in one.")
        for written, found in particle.rules.items():
            spelling = written.lower()
            if forms.get(spelling) != name:
                raise ConfigError(f"Particle {name} has rules for {spelling}, which is not among its variants; add it.")
            rules[spelling] = found
    return ParticleTable(tuple(kept), forms, rules)


def canonical_particle(word: str) -> str | None:
    """Give the canonical particle of the table in force that a word spells (`laaa` → `lah`), or None.

    Spelling only: for `one`, `kan` and the other homographs `language.tag_words` tells whether this one is a particle.
    """
    return load_particles().canonical(word)


def is_homograph(word: str) -> bool:
    """Tell whether a spelling of the table in force is also an ordinary word, so that context must decide."""
    return load_particles().is_homograph(word)


@dataclass
class Surroundings:
    """A sentence as the rules see it; all lists run over its words.

    Attributes:
        words: In lower case.
        starts: Whether a phrase begins with the word.
        ends: Whether a phrase ends with it, or with nothing but particles behind it.
        languages: What each word would be alone; `particle` for sure particles.
        names: Whether it is a name.
        cases: "upper", "title" or ""; "" also where capitals tell nothing (start of a sentence, text of one case).
    """

    words: Sequence[str]
    starts: Sequence[bool]
    ends: Sequence[bool]
    languages: Sequence[str]
    names: Sequence[bool]
    cases: Sequence[str]


def decide_homograph(rules: Sequence[Rule], around: Surroundings, index: int) -> str:
    """Give the tag of the first rule that fits the word at `index`, or `particle`."""
    for rule in rules:
        if _fits(rule, around, index):
            return rule.tag
    return "particle"


def _fits(rule: Rule, around: Surroundings, index: int) -> bool:
    """Tell whether all conditions of a rule hold; those that a rule does not set hold always."""
    starts, ends, words = around.starts[index], around.ends[index], around.words
    # A word that is a phrase by itself looks over the borders: "Nah, take this."
    last = index + 1 == len(words)
    previous = words[index - 1] if index > 0 and (not starts or ends) else ""
    following = words[index + 1] if not last and (starts or not around.starts[index + 1]) else ""
    return (
        (rule.after is None or previous in rule.after)
        and (rule.before is None or following in rule.before)
        and (rule.at is None or rule.at == _place(starts, ends))
        and (rule.nth is None or rule.nth == _nth(around, index))
        and (rule.cased is None or rule.cased == around.cases[index])
        and (rule.name is None or _is_name(around, index + (1 if rule.name == "next" else -1)))
        and (rule.neighbour is None or rule.neighbour == _neighbour(around, index))
        and (rule.after_near is None or not rule.after_near.isdisjoint(_phrase_before(around, index)))
        and (rule.before_near is None or not rule.before_near.isdisjoint(_phrase_after(around, index)))
    )


def _is_name(around: Surroundings, index: int) -> bool:
    return 0 <= index < len(around.names) and around.names[index]


def _place(starts: bool, ends: bool) -> str:
    if starts:
        return "alone" if ends else "start"
    return "end" if ends else "inside"


def _nth(around: Surroundings, index: int) -> int:
    place = index
    while not around.starts[place]:
        place -= 1
    return index - place + 1


def _neighbour(around: Surroundings, index: int) -> str:
    """Give the language of the nearest word before the word (or after it, at a start) that is no particle."""
    before = list(range(index - 1, -1, -1))
    after = list(range(index + 1, len(around.words)))
    for place in after + before if around.starts[index] else before + after:
        if around.languages[place] != "particle":
            return around.languages[place]
    return "other"


def _phrase_before(around: Surroundings, index: int, reach: int = 3) -> list[str]:
    found: list[str] = []
    while not around.starts[index] and len(found) < reach:
        index -= 1
        found.append(around.words[index])
    return found


def _phrase_after(around: Surroundings, index: int, reach: int = 3) -> list[str]:
    found: list[str] = []
    while index + 1 < len(around.words) and not around.starts[index + 1] and len(found) < reach:
        index += 1
        found.append(around.words[index])
    return found
