"""One alignment per utterance, from which every measure of words is read.

Unit costs (Levenshtein). Among the cheapest alignments the one is taken that, read from left to right, prefers
match > substitute > delete > insert at every step, so the result is the same on every machine. An alignment is a string
with one letter a column: `=` match, `S` substitute, `D` delete (reference word lost), `I` insert.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from rojak.errors import InputError

MAX_CELLS = 100_000_000
"""Largest table (reference × hypothesis words) that is aligned (0.2–0.4 GB): an hour of speech against an hour."""


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    """Align two sequences of words.

    Args:
        reference: Reference words.
        hypothesis: Hypothesis words.

    Returns:
        One letter of `=SDI` a column; the number of letters other than `=` is the Levenshtein distance.

    Raises:
        InputError: The two are so long that their table would not fit (`MAX_CELLS`).
    """
    same = 0  # A common beginning is always matched by the rule above.
    for left, right in zip(reference, hypothesis, strict=False):
        if left != right:
            break
        same += 1
    rest_r, rest_h = reference[same:], hypothesis[same:]
    if not rest_r or not rest_h:
        return "=" * same + "D" * len(rest_r) + "I" * len(rest_h)
    if len(rest_r) * len(rest_h) > MAX_CELLS:
        raise InputError(
            f"a reference of {len(reference):,} words cannot be aligned with a hypothesis of {len(hypothesis):,}; "
            f"their product may be {MAX_CELLS:,} at most; cut the recording into shorter ones."
        )
    return "=" * same + _align_table(rest_r, rest_h)


def _align_table(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    ids: dict[str, int] = {}
    backward_r = [ids.setdefault(word, len(ids)) for word in reversed(reference)]
    backward_h = np.array([ids.setdefault(word, len(ids)) for word in reversed(hypothesis)], dtype=np.int32)
    rows, columns = len(backward_r), len(backward_h)
    dtype = np.int16 if rows + columns < 2**15 else np.int32

    # cost[i, j] is the distance of the last i reference words to the last j hypothesis words. A row depends on itself
    # only through insertions, which a running minimum of (cost − j) settles for the whole row at once.
    cost = np.empty((rows + 1, columns + 1), dtype=dtype)
    steps = np.arange(columns + 1, dtype=dtype)
    cost[0] = steps
    for i, word in enumerate(backward_r, start=1):
        row = cost[i]
        row[0] = i
        np.minimum(cost[i - 1, :-1] + (backward_h != word), cost[i - 1, 1:] + 1, out=row[1:], casting="same_kind")
        row -= steps
        np.minimum.accumulate(row, out=row)
        row += steps
    return _trace(cost, backward_r, backward_h)


def _trace(cost: np.ndarray[tuple[int, int], np.dtype[np.signedinteger]], ref: list[int], hyp: np.ndarray) -> str:
    i, j = len(ref), len(hyp)
    ops: list[str] = []
    while i and j:
        here = cost[i, j]
        equal = ref[i - 1] == hyp[j - 1]
        if equal or cost[i - 1, j - 1] + 1 == here:
            ops.append("=" if equal else "S")
            i, j = i - 1, j - 1
        elif cost[i - 1, j] + 1 == here:
            ops.append("D")
            i -= 1
        else:
            ops.append("I")
            j -= 1
    return "".join(ops) + "D" * i + "I" * j


def columns(ops: str) -> Iterator[tuple[str, int | None, int | None]]:
    """Walk an alignment: (letter, index of the reference word or None, index of the hypothesis word or None)."""
    i = j = 0
    for op in ops:
        yield op, None if op == "I" else i, None if op == "D" else j
        i += op != "I"
        j += op != "D"


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Count the edits between two sequences of graphemes, without an alignment (bit-parallel, linear memory)."""
    return Levenshtein.distance(reference, hypothesis)
