"""Running out of memory halves the pieces until they fit; other errors and hopeless cases pass."""

import pytest
import torch

from rojak.errors import TrainingError
from rojak.train.memory import Parts, fit_into_memory


@pytest.mark.parametrize(("num_rows", "count"), [(1, 1), (5, 2), (3, 8), (16, 4), (7, 7)])
def test_parts_hold_every_row_once(num_rows: int, count: int) -> None:
    pieces = [list(range(num_rows))[rows] for rows in Parts(count).rows(num_rows)]
    assert [row for piece in pieces for row in piece] == list(range(num_rows))
    assert all(pieces)
    assert len(pieces) <= count


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_the_step_is_done_again_in_smaller_pieces(error: Exception) -> None:
    tried, forgotten, told = [], [], []

    def work(parts: Parts) -> float:
        tried.append(parts.count)
        if parts.count < 4:
            raise error
        return 1.5

    loss = fit_into_memory(work, lambda: forgotten.append(1), parts=1, most_rows=8, tell=told.append)
    assert (loss, tried, len(forgotten), told) == (1.5, [1, 2, 4], 2, [2, 4])


def test_one_window_that_does_not_fit_ends_in_a_sentence() -> None:
    def work(parts: Parts) -> float:
        raise torch.OutOfMemoryError

    with pytest.raises(TrainingError, match="gradient_checkpointing: on"):
        fit_into_memory(work, lambda: None, parts=1, most_rows=3, tell=lambda _: None)


def test_other_errors_are_not_taken_for_it() -> None:
    def work(parts: Parts) -> float:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        fit_into_memory(work, lambda: None, parts=1, most_rows=3, tell=lambda _: None)
