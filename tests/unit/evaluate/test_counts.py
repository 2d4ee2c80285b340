import pytest

from rojak.evaluate.align import align
from rojak.evaluate.counts import (
    count_edits,
    count_embedded,
    count_languages,
    count_particles,
    count_switches,
    longest_repeats,
    matrix_language,
    repeats,
    right_switches,
    switch_points,
)


def particles(text: str) -> list[str | None]:
    """`x lah y` → [None, "lah", None]."""
    return [word if word in ("lah", "meh", "kan") else None for word in text.split()]


@pytest.mark.parametrize(
    ("ops", "words", "substitutions", "deletions", "insertions"),
    [("", 0, 0, 0, 0), ("===", 3, 0, 0, 0), ("=SDI=", 4, 1, 1, 1), ("III", 0, 0, 0, 3)],
)
def test_edits(ops: str, words: int, substitutions: int, deletions: int, insertions: int) -> None:
    assert count_edits(ops) == {
        "words": words,
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
    }


@pytest.mark.parametrize(
    ("ops", "reference", "hypothesis", "expected"),
    [
        ("==", "ms en", "ms en", {"ms": (1, 1, 1), "en": (1, 1, 1)}),
        # a substituted word of the same language is right; a deleted one is wrong
        ("SD", "ms ms", "ms", {"ms": (2, 1, 1)}),
        ("S", "ms", "en", {"ms": (1, 0, 0), "en": (0, 0, 1)}),
        # what stands for a particle or a name is left out, what is inserted is heard
        ("SSI", "particle other", "ms en zh", {"zh": (0, 0, 1)}),
        # a particle heard for a word is wrong and is no language
        ("S", "ta", "particle", {"ta": (1, 0, 0)}),
    ],
)
def test_languages(ops: str, reference: str, hypothesis: str, expected: dict[str, tuple[int, int, int]]) -> None:
    found = count_languages(ops, reference.split(), hypothesis.split())
    for language in ("ms", "en", "zh", "ta"):
        counts = tuple(found[f"{language}_{what}"] for what in ("words", "right", "heard"))
        assert counts == expected.get(language, (0, 0, 0)), language


@pytest.mark.parametrize(
    ("languages", "points"),
    [
        ("", []),
        ("ms", []),
        ("ms ms en en", [(1, 2)]),
        ("ms particle other en ms", [(0, 3), (3, 4)]),
        ("particle ms", []),
    ],
)
def test_switch_points(languages: str, points: list[tuple[int, int]]) -> None:
    assert switch_points(languages.split()) == points


@pytest.mark.parametrize(
    ("ops", "reference", "hypothesis", "said", "heard", "right"),
    [
        ("====", "ms ms en en", "ms ms en en", 1, 1, 1),
        ("=SS=", "ms ms en en", "ms ms en en", 1, 1, 1),  # other words, same languages
        ("==D=", "ms ms en en", "ms ms en", 1, 1, 0),  # a flanking word is lost
        ("==S=", "ms ms en en", "ms ms ms en", 1, 1, 0),  # the switch is heard a word late
        ("SS", "ms en", "en ms", 1, 1, 0),  # the other way round
        ("=I=", "ms en", "ms ms en", 1, 1, 1),
        ("=I=", "ms ms", "ms zh ms", 0, 2, 0),  # two switches that nobody made
    ],
)
def test_switches(ops: str, reference: str, hypothesis: str, said: int, heard: int, right: int) -> None:
    found = count_switches(ops, reference.split(), hypothesis.split())
    assert found == {"switches": said, "switches_heard": heard, "switches_right": right}
    assert len(right_switches(ops, reference.split(), hypothesis.split())) == right


@pytest.mark.parametrize(
    ("languages", "matrix"),
    [("", None), ("particle other", None), ("ms en en", "en"), ("ms en", "ms"), ("zh other ta particle ta", "ta")],
)
def test_matrix_language(languages: str, matrix: str | None) -> None:
    assert matrix_language(languages.split()) == matrix


@pytest.mark.parametrize(
    ("ops", "reference", "embedded", "errors"),
    [
        ("===", "ms ms ms", 0, 0),
        ("S==S", "ms ms ms en", 1, 1),
        ("==I=D", "ms ms en en", 2, 1),  # the insertion beside belongs to no word
        ("SS==", "particle other ms en", 1, 0),
    ],
)
def test_embedded(ops: str, reference: str, embedded: int, errors: int) -> None:
    assert count_embedded(ops, reference.split()) == {"embedded_words": embedded, "embedded_errors": errors}


@pytest.mark.parametrize(
    ("reference", "hypothesis", "said", "heard", "right", "near"),
    [
        ("pergi lah", "pergi lah", 1, 1, 1, 1),
        ("pergi lah", "pergi", 1, 0, 0, 0),
        ("pergi lah", "pergi meh", 1, 1, 0, 0),
        ("pergi", "pergi lah", 0, 1, 0, 0),
        ("pergi lah sana", "pergi sana lah", 1, 1, 0, 1),  # one word late
        ("pergi lah ke sana", "pergi ke sana lah", 1, 1, 0, 0),  # two words late
        ("lah lah", "lah", 2, 1, 1, 1),  # a particle is used once
        ("lah x", "x lah", 1, 1, 0, 1),
        ("lah x lah", "x lah", 2, 1, 1, 1),
    ],
)
def test_particles(reference: str, hypothesis: str, said: int, heard: int, right: int, near: int) -> None:
    ops = align(reference.split(), hypothesis.split())
    found = count_particles(ops, particles(reference), particles(hypothesis))
    assert tuple(found.values()) == (said, heard, right, near)


@pytest.mark.parametrize(
    ("words", "longest"),
    [("", [1] * 8), ("a b a b a", [1, 2, 1, 1, 1, 1, 1, 1]), ("a a a a", [4, 2, 1, 1, 1, 1, 1, 1])],
)
def test_longest_repeats(words: str, longest: list[int]) -> None:
    assert longest_repeats(words.split()) == longest


@pytest.mark.parametrize(
    ("reference", "hypothesis", "loops"),
    [
        ("ya", "ya ya ya", False),
        ("ya", "ya ya ya ya", True),
        ("no no no no no", "no no no no", False),  # it was said
        ("ok", "thank you thank you", False),
        ("ok", "thank you thank you thank you", True),
        ("ok", "a b c d e f g h " * 3, True),
        ("ok", "a b c d e f g h i " * 3, False),  # longer than what is looked for
    ],
)
def test_repeats(reference: str, hypothesis: str, loops: bool) -> None:
    assert repeats(reference.split(), hypothesis.split()) is loops
