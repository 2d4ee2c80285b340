import random

import jiwer
import pytest
from rapidfuzz.distance import Levenshtein

from rojak.errors import InputError
from rojak.evaluate import align as module
from rojak.evaluate.align import align, columns, edit_distance


@pytest.mark.parametrize(
    ("reference", "hypothesis", "ops"),
    [
        ("", "", ""),
        ("a b", "", "DD"),
        ("", "a b", "II"),
        ("a b c", "a b c", "==="),
        ("a b c", "a x c", "=S="),
        ("a b c", "a c", "=D="),
        ("a c", "a b c", "=I="),
        # ties: the first of two equal words is matched, so a repetition at the end is inserted
        ("a b", "a b b b", "==II"),
        ("a a", "a", "=D"),
        # substitute before delete before insert
        ("a b", "c", "SD"),
        ("a", "b c", "SI"),
        ("a b", "b c", "SS"),
        ("a b c", "b c d", "D==I"),
        ("x a", "a a a", "S=I"),
    ],
)
def test_by_hand(reference: str, hypothesis: str, ops: str) -> None:
    assert align(reference.split(), hypothesis.split()) == ops


def brute_force(reference: list[str], hypothesis: list[str]) -> str:
    """The rule as it is written: of the cheapest alignments the first in the order = S D I, read from left to right."""
    if not reference or not hypothesis:
        return "D" * len(reference) + "I" * len(hypothesis)
    same = reference[0] == hypothesis[0]
    choices = [
        ("=" if same else "S") + brute_force(reference[1:], hypothesis[1:]),
        "D" + brute_force(reference[1:], hypothesis),
        "I" + brute_force(reference, hypothesis[1:]),
    ]
    return min(choices, key=lambda ops: (sum(op != "=" for op in ops), ["=SDI".index(op) for op in ops]))


def test_ties_follow_the_rule_on_random_pairs() -> None:
    rng = random.Random(5)
    for _ in range(300):
        reference, hypothesis = (rng.choices("abc", k=rng.randrange(6)) for _ in range(2))
        assert align(reference, hypothesis) == brute_force(reference, hypothesis)


def test_cost_agrees_with_rapidfuzz_and_jiwer_on_10_000_random_pairs() -> None:
    rng = random.Random(1)
    references, hypotheses, total = [], [], 0
    for _ in range(10_000):
        reference = rng.choices("abcdefgh", k=rng.randrange(1, 20))
        hypothesis = rng.choices("abcdefgh", k=rng.randrange(20))
        ops = align(reference, hypothesis)
        distance = Levenshtein.distance(reference, hypothesis)
        assert len(ops) - ops.count("=") == distance == edit_distance(reference, hypothesis)
        for op, i, j in columns(ops):
            assert (op == "D") == (j is None)
            assert (op == "I") == (i is None)
            assert (op == "=") == (i is not None and j is not None and reference[i] == hypothesis[j])
        assert len(ops) - ops.count("I") == len(reference)
        assert len(ops) - ops.count("D") == len(hypothesis)
        references.append(" ".join(reference))
        hypotheses.append(" ".join(hypothesis))
        total += distance
    theirs = jiwer.process_words(references, hypotheses)
    assert theirs.substitutions + theirs.deletions + theirs.insertions == total


def test_long_pairs_use_wider_numbers() -> None:
    hypothesis = ["b"] * 40_000
    assert align(["a"], hypothesis) == "S" + "I" * 39_999


def test_a_table_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CELLS", 10)
    assert align(["x"] * 20, ["x"] * 20) == "=" * 20
    with pytest.raises(InputError, match=r"a reference of 4 words cannot be aligned with a hypothesis of 4;.*shorter"):
        align(list("abcd"), list("efgh"))
