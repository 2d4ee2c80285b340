"""What is known about a word by itself: a fixed tag, or how much likelier it is Malay than English.

Reads the frequency lists of wordfreq (CC BY-SA 4.0; Speer 2022, https://doi.org/10.5281/zenodo.7199437) and the lists
of `wordlists`. Answers are cached per word form, so that a long text costs one dictionary look-up a word.
"""

import heapq
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import wordfreq

from rojak.text import morphology
from rojak.text.normalize import HAN
from rojak.text.particles import ParticleTable, build_table
from rojak.text.wordlists import Rule, WordLists

_LOG10 = math.log(10)
_MALAY_FLOOR = 2.6
"""Zipf frequency given to a word missing from the Malay list, whose rarest words stand at 3.0."""
_ENGLISH_FLOOR = 1.0
"""Zipf frequency given to a word missing from the English list, which reaches down to 1.0."""
_INDONESIAN_DISCOUNT = 0.7
"""Indonesian shares most of its words with Malay; its list vouches for a word at this many decades less."""
_ENGLISH_TAIL = 2.3
"""The large English list holds Malay and other foreign words up to about this Zipf frequency."""
_MIXED_GAP = 1.3
"""Both lists hold much of the other language (English in Malay chat, names everywhere). Looked through by hand, of the
words that stand in the Malay list less than this many decades above the English one, hardly any were Malay."""
_MIXED_COST = _LOG10
_LETTER_WEIGHT = 0.5
"""What the spelling says is weighted down beside frequencies, which already imply some of it."""
_PREFIXED, _SUFFIXED, _HYBRID = 5.0, 3.5, 3.0
"""Log-odds for Malay affixes: a prefix on a Malay root, a suffix alone, a prefix on an English root (dicancel)."""
_RARE = 3.3
"""Zipf frequency below which a word with a capital inside a sentence is taken for a name."""
_COMMON = 5.0
SURE = 8.0
"""Log-odds beyond which more evidence changes nothing."""
_CACHE_LIMIT = 500_000
_HAN = re.compile(f"[{HAN}]")
_VOWELS = re.compile("[aeiou]")
_DIGITS = frozenset("0123456789")


class Entry(NamedTuple):
    """A word by itself.

    Attributes:
        lower: The word in lower case.
        label: The tag if the word can have only one, else "" (then `log_odds` and the words around decide).
        log_odds: Natural log of the odds Malay : English.
        name: 2 for a sure name, 1 for a word that may also be a name, 0 otherwise.
        case: "upper" for two or more capitals, "title" for one capital and small letters, else "".
        known: False for words that are rare or in no list, which in capitals are names.
        common: Whether the word is so frequent that it is a name only in capitals.
        title: Whether a name may follow (encik, mr, cikgu).
        rules: What tells the particle from the other word, for homographs; None otherwise.
        opens_phrase: Whether a fixed phrase begins with the word.
    """

    lower: str
    label: str = ""
    log_odds: float = 0.0
    name: int = 0
    case: str = ""
    known: bool = True
    common: bool = False
    title: bool = False
    rules: tuple[Rule, ...] | None = None
    opens_phrase: bool = False


@dataclass(frozen=True)
class WordStatistics:
    """Frequencies (shares of all words) and what follows from them; the same for every user.

    Attributes:
        malay_consonants: Zipf frequency of the frequent Malay words, by their first letter and their consonants.
        english_consonants: The same for English.
        letters: Tells the languages apart by spelling.
    """

    malay: dict[str, float]
    indonesian: dict[str, float]
    english: dict[str, float]
    malay_consonants: dict[str, float]
    english_consonants: dict[str, float]
    letters: "LetterModel"

    def zipf(self, lower: str) -> tuple[float | None, float | None]:
        """Give the Zipf frequency (log10 of uses in 10⁹ words) in Malay and in English, None where a list lacks it."""
        malay, indonesian, english = self.malay.get(lower), self.indonesian.get(lower), self.english.get(lower)
        scores = [math.log10(malay) + 9] if malay else []
        if indonesian:
            scores.append(math.log10(indonesian) + 9 - _INDONESIAN_DISCOUNT)
        return max(scores, default=None), (math.log10(english) + 9 if english else None)

    def short_form_odds(self, lower: str) -> float | None:
        """Judge a word without vowels by the frequent words it may be short for (sblh: sebelah), if there are any."""
        if len(lower) < 3 or _VOWELS.search(lower, 1):
            return None
        malay, english = self.malay_consonants.get(lower), self.english_consonants.get(lower)
        if malay is None and english is None:
            return None
        return _clip(_LOG10 * ((malay or _MALAY_FLOOR) - (english or _MALAY_FLOOR)))


class Lexicon:
    """The word lists, indexed for look-up, with a cache of every word form seen."""

    def __init__(self, lists: WordLists) -> None:
        """Index the lists; the word statistics behind them are read once for all lexicons, in about 0.3 s."""
        self.particles: ParticleTable = build_table(lists.particles)
        self.statistics = _word_statistics()
        self.fixed: dict[str, str] = {}
        for language in ("ms", "en", "other"):
            self.fixed.update(dict.fromkeys(lists.words.get(language, ()), language))
        self.shared = lists.words.get("shared", frozenset())
        self.names = lists.words.get("name", frozenset())
        self.maybe_names = lists.words.get("maybe_name", frozenset())
        self.name_links = lists.words.get("name_link", frozenset())
        self.titles = lists.words.get("title", frozenset())
        self.phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for language, phrases in lists.phrases.items():
            for phrase in phrases:
                words = tuple(phrase.lower().split())
                self.phrases.setdefault(words[0], []).append((words, language))
        for found in self.phrases.values():
            found.sort(key=lambda item: -len(item[0]))
        self._entries: dict[str, Entry] = {}

    def entry(self, word: str) -> Entry:
        """Give what is known about a word as it stands in the text, letter case included."""
        found = self._entries.get(word)
        if found is None:
            if len(self._entries) > _CACHE_LIMIT:
                self._entries.clear()
            found = self._entries[word] = self._look_up(word)
        return found

    def _look_up(self, word: str) -> Entry:
        lower = word.lower().replace("’", "'")
        script = script_of(word)
        if script != "latin":
            return Entry(lower, label=script)
        letters = [c for c in word if c.isalpha()]
        case = ""
        if letters[0].isupper():
            case = "upper" if len(letters) > 1 and all(c.isupper() for c in letters) else "title"
        label, rules = self._fixed_label(lower)
        odds, known = self.log_odds(lower)
        malay, english = self.statistics.zipf(lower)
        return Entry(
            lower=lower,
            label=label,
            log_odds=odds,
            name=0 if rules or label == "particle" else self._name(lower),
            case=case,
            known=known,
            common=max(malay or 0.0, english or 0.0) > _COMMON and lower not in self.name_links,
            title=lower in self.titles,
            rules=rules,
            opens_phrase=lower in self.phrases,
        )

    def _fixed_label(self, lower: str) -> tuple[str, tuple[Rule, ...] | None]:
        """Give the only tag a word can have, or "", and the rules if it is a homograph of a particle."""
        spelling = self.particles.listed_spelling(lower)
        if spelling is not None:
            rules = self.particles.spelling_to_rules.get(spelling)
            return ("" if rules else "particle"), rules
        digits = not _DIGITS.isdisjoint(lower) and morphology.doubled_root(lower) is None
        return ("other" if digits or self.fixed.get(lower) == "other" else ""), None

    def _name(self, lower: str) -> int:
        return 2 if lower in self.names else int(lower in self.maybe_names or lower in self.name_links)

    def log_odds(self, lower: str) -> tuple[float, bool]:
        """Give the log-odds Malay : English of a lower-case word, and whether it or its root is known, not rare."""
        fixed = self.fixed.get(lower)
        if fixed in ("ms", "en"):
            return (SURE if fixed == "ms" else -SURE), True
        if lower in self.shared:
            return 0.0, True
        root = morphology.doubled_root(lower)
        if root is not None and lower not in self.statistics.english:
            odds, known = self.log_odds(root)
            return min(odds + 3.0, SURE), known
        if "-" in lower:
            return self._hyphenated_odds(lower)
        malay, english = self.statistics.zipf(lower)
        if malay is None and (english is None or english < 3.0):
            return self._rare_odds(lower, english)
        gap = (malay or _MALAY_FLOOR) - (english or _ENGLISH_FLOOR)
        mixed = english is not None and english > _ENGLISH_TAIL and gap < _MIXED_GAP
        letters = self.statistics.letters.log_odds(lower) if abs(gap) < 2 else 0.0
        known = max(malay or 0.0, english or 0.0) > _RARE
        return _clip(_LOG10 * gap - (_MIXED_COST if mixed else 0.0) + _LETTER_WEIGHT * letters), known

    def _hyphenated_odds(self, lower: str) -> tuple[float, bool]:
        parts = [part for part in lower.split("-") if part]
        core = [part for part in parts if part not in morphology.HYPHEN_CLITICS] or parts
        if len(core) > 1 and (core[0] in morphology.HYPHEN_PREFIXES or core[-1] in morphology.HYPHEN_SUFFIXES):
            return SURE, True
        scores = [self.log_odds(part) for part in core]
        return _clip(sum(odds for odds, _ in scores)), any(known for _, known in scores)

    def _rare_odds(self, lower: str, english: float | None) -> tuple[float, bool]:
        """Judge a word that no Malay list and at most the tail of the English list holds."""
        short = self.statistics.short_form_odds(lower)
        if short is not None and (english is None or english < _ENGLISH_TAIL):
            return short, False
        bare = morphology.without_clitic(lower)
        if bare is not None and english is None:
            odds, known = self.log_odds(bare)
            if known:
                return odds, True
        best: float | None = None
        for root, prefixed in morphology.possible_roots(lower):
            malay, root_english = self.statistics.zipf(root)
            if self.fixed.get(root) == "ms" or (malay is not None and malay > (root_english or 0.0)):
                best = max(best or 0.0, _PREFIXED if prefixed else _SUFFIXED)
            elif prefixed and english is None and len(root) > 3 and (root_english or 0.0) >= 3.3:
                best = max(best or 0.0, _HYBRID)
        letters = self.statistics.letters.log_odds(lower)
        if best is None:
            tail = _LOG10 * (_MALAY_FLOOR - 1.0 - english) if english is not None else 0.0
            return _clip(letters + tail), False
        tail = _LOG10 * (1.0 - english) if english is not None else 0.0
        return _clip(best + _LETTER_WEIGHT * letters + tail), True


class LetterModel:
    """Naive Bayes over letter trigrams, for words that no list holds."""

    def __init__(self, malay: list[str], english: list[str]) -> None:
        """Count the trigrams of both lists."""
        counts = [Counter[str](), Counter[str]()]
        for count, words in zip(counts, (malay, english), strict=True):
            for word in words:
                if word.isascii():
                    count.update(_trigrams(word))
        totals = [count.total() for count in counts]
        self._scores = {
            gram: math.log((counts[0][gram] + 0.5) / totals[0]) - math.log((counts[1][gram] + 0.5) / totals[1])
            for gram in counts[0].keys() | counts[1].keys()
        }

    def log_odds(self, word: str) -> float:
        """Give the log-odds Malay : English of the spelling, kept within ±4 because trigrams overlap."""
        return max(-4.0, min(4.0, 0.6 * sum(self._scores.get(gram, 0.0) for gram in _trigrams(word))))


@lru_cache(maxsize=1)
def _word_statistics() -> WordStatistics:
    """Read wordfreq's lists and learn spelling from the words that are surely Malay and those surely English."""
    malay: dict[str, float] = wordfreq.get_frequency_dict("ms", "small")
    english: dict[str, float] = wordfreq.get_frequency_dict("en", "large")
    surely_malay = [word for word, share in malay.items() if share > 10 * english.get(word, 0.0)]
    frequent = heapq.nlargest(30_000, english, key=english.__getitem__)
    return WordStatistics(
        malay=malay,
        indonesian=wordfreq.get_frequency_dict("id", "small"),
        english=english,
        malay_consonants=_consonant_forms(malay),
        english_consonants=_consonant_forms(english),
        letters=LetterModel(surely_malay, [word for word in frequent if word not in malay]),
    )


def _consonant_forms(frequencies: dict[str, float]) -> dict[str, float]:
    """Give the frequent words with only their first letter and their consonants left, and the highest Zipf of each."""
    forms: dict[str, float] = {}
    for word, frequency in frequencies.items():
        if frequency > 1e-5:
            form = word[0] + _VOWELS.sub("", word[1:])
            forms[form] = max(forms.get(form, 0.0), math.log10(frequency) + 9)
    return forms


def _trigrams(word: str) -> list[str]:
    padded = f"^{word}$"
    return [padded[i : i + 3] for i in range(len(padded) - 2)]


def _clip(odds: float) -> float:
    return max(-SURE, min(SURE, odds))


def script_of(word: str) -> str:
    """Give the script of a unit: zh (Han), ta (Tamil), latin, or other (digits alone, symbols, any other script)."""
    if word.isascii():
        return "latin" if any(c.isalpha() for c in word) else "other"
    for char in word:
        if _HAN.match(char):
            return "zh"
        if "\u0b80" <= char <= "\u0bff":
            return "ta"
        if char.isalpha():
            return "latin" if char < "\u0250" else "other"
    return "other"
