"""Out of memory while training: the same step again in smaller pieces, instead of a lost night.

Takes the work of one step; reads and writes no files.
"""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from rojak.errors import TrainingError

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the device, or the host while computing, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On a CPU torch has no class of its own for it, and cuBLAS and cuDNN word it their own way.
    words = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@dataclass(frozen=True)
class Parts:
    """Into how many pieces the rows of each micro-batch are cut; 1 leaves them whole."""

    count: int = 1

    def rows(self, num_rows: int) -> Iterator[slice]:
        """Give the pieces of a micro-batch of `num_rows` windows, as even as they come, none of them empty."""
        size = -(-num_rows // self.count)
        for start in range(0, num_rows, size):
            yield slice(start, min(num_rows, start + size))


def fit_into_memory(
    work: Callable[[Parts], Result],
    forget: Callable[[], None],
    *,
    parts: int,
    most_rows: int,
    tell: Callable[[int], None],
) -> Result:
    """Do the work of a step; when memory runs out, cut every micro-batch in two and do the whole step again.

    The sum over the pieces is the sum over the micro-batch, so the step's result stays what it was (up to rounding
    and, with dropout, which units are dropped).

    Args:
        work: Computes the step's gradients; what it gives is given on.
        forget: Clears gradients that the failed attempt left.
        parts: Pieces to begin with: what earlier steps found necessary.
        most_rows: Windows of the largest micro-batch; beyond one window a piece nothing can be cut.
        tell: Told the new number of pieces.

    Raises:
        TrainingError: Not even one window fits.
    """
    while True:
        try:
            return work(Parts(parts))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, past the except block, are the failed attempt's tensors out of the traceback's hands.
        forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if parts >= most_rows:
            raise TrainingError(
                "Not even a single window fits into memory; set gradient_checkpointing: on, use_4bit: true "
                "or a smaller model_name (`rojak estimate` tells what each needs)."
            )
        parts *= 2
        tell(parts)
