"""Malay word building: which roots a Malay word may come from, and whether a word looks like one at all.

Knows no word list; `lexicon` asks it for possible roots and looks them up.
"""

import re
from collections.abc import Iterator

# Nasal prefixes with the letter of the root that the nasal swallows: menulis < tulis, memukul < pukul.
_NASAL_PREFIXES = (
    ("menge", ("",)),
    ("meny", ("s",)),
    ("meng", ("", "k")),
    ("mem", ("", "p", "f")),
    ("men", ("", "t")),
    ("me", ("",)),
    ("penge", ("",)),
    ("peny", ("s",)),
    ("peng", ("", "k")),
    ("pem", ("", "p", "f")),
    ("pen", ("", "t")),
    ("pe", ("",)),
)
_PLAIN_PREFIXES = ("diper", "memper", "keber", "ber", "ter", "per", "bel", "di", "ke", "se", "be", "te")
_SUFFIXES = ("kannya", "annya", "inya", "kan", "nya", "an", "ku", "mu", "i")
_CLITICS = ("lah", "kah", "tah", "pun", "la", "lahh")
_MIN_ROOT = 3

HYPHEN_PREFIXES = frozenset(
    ("di", "ke", "se", "me", "mem", "men", "meng", "menge", "ber", "ter", "pe", "pem", "pen", "peng", "per")
)
"""What may stand before a hyphen to make a Malay word of any root: `di-cancel`, `meng-update-kan`."""
HYPHEN_SUFFIXES = frozenset(("kan", "nya", "an", "i", "ku", "mu", "kah"))
"""What may stand behind a hyphen to make a Malay word of any root: `phone-nya`."""
HYPHEN_CLITICS = frozenset(("lah", "la", "pun"))
"""Particles written on to a word with a hyphen; they leave it in the language of its root: `boring-lah`."""

_DOUBLED = re.compile(r"^(?P<root>\w+?)-(?P=root)(?:nya|an|kan|lah|ku|mu)?$")


def possible_roots(word: str) -> Iterator[tuple[str, bool]]:
    """Give every root that a lower-case word without hyphens may be built from by Malay affixes, longest first.

    Yields:
        The root, and whether a prefix was taken off (a stronger sign of Malay than a suffix alone).
    """
    stems = [word]
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _MIN_ROOT:
            stems.append(word[: -len(suffix)])
    for stem in stems:
        if stem != word:
            yield stem, False
        for prefix in _PLAIN_PREFIXES:
            if stem.startswith(prefix) and len(stem) - len(prefix) >= _MIN_ROOT:
                yield stem[len(prefix) :], True
        for prefix, swallowed in _NASAL_PREFIXES:
            if stem.startswith(prefix) and len(stem) - len(prefix) >= _MIN_ROOT - 1:
                for letter in swallowed:
                    yield letter + stem[len(prefix) :], True


def without_clitic(word: str) -> str | None:
    """Take a particle off that is written on to a word (`okaylah` → `okay`), or give None where none can be."""
    for clitic in _CLITICS:
        if word.endswith(clitic) and len(word) - len(clitic) >= 2:
            return word[: -len(clitic)]
    return None


def doubled_root(word: str) -> str | None:
    """Give the root of a reduplicated word (`jalan-jalan`, `jalan2`, `kawan-kawannya`), or None."""
    if word.endswith("2") and word[:-1].isalpha() and len(word) > _MIN_ROOT:
        return word[:-1]
    match = _DOUBLED.match(word)
    return match["root"] if match else None
