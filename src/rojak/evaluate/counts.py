"""What is counted in one utterance: pure functions from an alignment and the words' languages to whole numbers.

`ops` is an alignment (`align.align`), `reference` and `hypothesis` hold one entry a word. The measures made of these
counts are in `metrics`.
"""

from collections.abc import Sequence
from itertools import pairwise

from rojak.evaluate.align import columns
from rojak.records import LANGUAGES

REPEAT_WORDS = 8
"""Longest phrase, in words, whose repetition is looked for."""


def count_edits(ops: str) -> dict[str, int]:
    """Count reference words and errors of each kind."""
    return {
        "words": len(ops) - ops.count("I"),
        "substitutions": ops.count("S"),
        "deletions": ops.count("D"),
        "insertions": ops.count("I"),
    }


def count_languages(ops: str, reference: Sequence[str], hypothesis: Sequence[str]) -> dict[str, int]:
    """Count for each language the reference words, those aligned to a word of the same language, and the words heard.

    Reference words that are no language's (particle, other) and whatever is aligned to them are left out; inserted
    words are heard.
    """
    found = {f"{language}_{what}": 0 for language in LANGUAGES for what in ("words", "right", "heard")}
    for _, i, j in columns(ops):
        said = None if i is None else reference[i]
        if said is not None and said not in LANGUAGES:
            continue
        if said is not None:
            found[f"{said}_words"] += 1
        if j is not None and hypothesis[j] in LANGUAGES:
            found[f"{hypothesis[j]}_heard"] += 1
            found[f"{hypothesis[j]}_right"] += said == hypothesis[j]
    return found


def switch_points(languages: Sequence[str]) -> list[tuple[int, int]]:
    """Find the pairs of words between which the language changes; words of no language are skipped."""
    spoken = [index for index, language in enumerate(languages) if language in LANGUAGES]
    return [(a, b) for a, b in pairwise(spoken) if languages[a] != languages[b]]


def right_switches(ops: str, reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[int, int]]:
    """Give the reference switch points whose two words are both aligned to words of the same two languages."""
    heard = {i: hypothesis[j] for _, i, j in columns(ops) if i is not None and j is not None}
    return [
        (a, b) for a, b in switch_points(reference) if heard.get(a) == reference[a] and heard.get(b) == reference[b]
    ]


def count_switches(ops: str, reference: Sequence[str], hypothesis: Sequence[str]) -> dict[str, int]:
    """Count switch points in the reference, in the hypothesis, and the right ones."""
    return {
        "switches": len(switch_points(reference)),
        "switches_heard": len(switch_points(hypothesis)),
        "switches_right": len(right_switches(ops, reference, hypothesis)),
    }


def matrix_language(languages: Sequence[str]) -> str | None:
    """Give the language of most words, on a tie the one that comes first; None where no word has a language."""
    spoken = [language for language in languages if language in LANGUAGES]
    return max(dict.fromkeys(spoken), key=spoken.count) if spoken else None


def count_embedded(ops: str, reference: Sequence[str]) -> dict[str, int]:
    """Count reference words of an embedded language (any but the matrix language) and those substituted or deleted."""
    matrix = matrix_language(reference)
    embedded = [
        op for op, i, _ in columns(ops) if i is not None and reference[i] in LANGUAGES and reference[i] != matrix
    ]
    return {"embedded_words": len(embedded), "embedded_errors": sum(op != "=" for op in embedded)}


def count_particles(ops: str, reference: Sequence[str | None], hypothesis: Sequence[str | None]) -> dict[str, int]:
    """Count particles said, heard and right, and those right when one column of the alignment to either side will do.

    Args:
        ops: The alignment.
        reference: For each reference word its particle's canonical form, or None.
        hypothesis: The same for the hypothesis.
    """
    said: list[tuple[int, str]] = []
    heard: list[tuple[int, str]] = []
    for column, (_, i, j) in enumerate(columns(ops)):
        left = None if i is None else reference[i]
        right = None if j is None else hypothesis[j]
        if left is not None:
            said.append((column, left))
        if right is not None:
            heard.append((column, right))
    strict = set(said) & set(heard)
    free = [place for place in heard if place not in strict]
    near = 0
    for column, form in (place for place in said if place not in strict):
        match = next((p for p in free if p[1] == form and abs(p[0] - column) == 1), None)
        if match is not None:
            free.remove(match)
            near += 1
    return {
        "particles": len(said),
        "particles_heard": len(heard),
        "particles_right": len(strict),
        "particles_near": len(strict) + near,
    }


def longest_repeats(words: Sequence[str]) -> list[int]:
    """For phrases of 1, 2 … `REPEAT_WORDS` words give how many times one stands in a row at most."""
    longest = []
    for length in range(1, REPEAT_WORDS + 1):
        run = best = 0
        for place in range(length, len(words)):
            run = run + 1 if words[place] == words[place - length] else 0
            best = max(best, run)
        longest.append(best // length + 1)
    return longest


def repeats(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """Tell whether a hypothesis loops: a word four times in a row, or a longer phrase three times, and not so said."""
    if len(hypothesis) < 4:
        return False
    heard, said = longest_repeats(hypothesis), longest_repeats(reference)
    return any(h > s and h >= (4 if n == 0 else 3) for n, (h, s) in enumerate(zip(heard, said, strict=True)))
