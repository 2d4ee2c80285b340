"""Several processes as one: who is who, sums over all, and gradients added up.

Reads the environment that `torchrun` and `accelerate launch` set; writes nothing. The processes divide each step's
micro-batches, so that they train on the same samples in the same order as one process would. Gradients are summed here,
once a step, and not by a wrapper around the model: the loss is already divided by the whole step's label tokens, and a
process may hold more micro-batches than another, or none.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from torch import distributed, nn

from rojak.errors import TrainingError

BUCKET_ELEMENTS = 16 * 2**20
"""Gradients are sent in pieces of this many numbers."""
PATIENCE = timedelta(hours=2)
"""How long a process waits for another: validation and saving are the first process's work."""


class Processes:
    """Where this process stands among those of the run; alone, everything here is free of cost."""

    def __init__(self) -> None:
        # Without a GPU, accelerate joins processes on CPU only when told that this is meant.
        on_cpu = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()
        state = PartialState(cpu=on_cpu, timeout=PATIENCE)
        self.count: int = state.num_processes
        self.rank: int = state.process_index
        self.device: torch.device = state.device

    @property
    def is_first(self) -> bool:
        """Whether this process logs, validates and saves."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Give each value summed over the processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _together():
            distributed.all_reduce(tensor)
        numbers: list[float] = tensor.tolist()
        return numbers

    def agree(self, signum: int | None) -> int | None:
        """Give every process the signal that any of them got, so that all stop after the same step."""
        if self.count == 1:
            return signum
        tensor = torch.tensor(signum or 0, device=self.device)
        with _together():
            distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return int(tensor) or None

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, in place; who had no micro-batch adds nothing."""
        if self.count == 1:
            return
        bucket: list[torch.Tensor] = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            if sum(grad.numel() for grad in bucket) >= BUCKET_ELEMENTS:
                _sum_bucket(bucket)
                bucket = []
        if bucket:
            _sum_bucket(bucket)

    def from_first(self, value: Any) -> Any:
        """Give every process the first one's value, which must be JSON."""
        if self.count == 1:
            return value
        data = json.dumps(value).encode() if self.is_first else b""
        length = int(self.sum(len(data))[0])
        tensor = torch.zeros(length, dtype=torch.uint8, device=self.device)
        if self.is_first:
            tensor.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        with _together():
            distributed.broadcast(tensor, src=0)
        return json.loads(bytes(tensor.tolist()))

    def close(self) -> None:
        """Take leave of the other processes at the end of a run."""
        if self.count > 1:
            self.sum(0.0)
            PartialState().destroy_process_group()


def _sum_bucket(gradients: list[torch.Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    with _together():
        distributed.all_reduce(flat)
    pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


@contextmanager
def _together() -> Iterator[None]:
    """Say in a sentence that another process is gone; its own message tells why."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"Another process of this run ended ({str(error).strip().splitlines()[0][:120]}); see what it said above, "
            "then give the same command again: it continues from the newest checkpoint, with any number of processes."
        ) from error
