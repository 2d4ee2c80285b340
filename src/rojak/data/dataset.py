"""Prepared utterances of one or more splits as one numbered list.

Reads prepared shards; `PreparedSplit` does the work for each split.
"""

from collections.abc import Sequence
from pathlib import Path

from rojak.audio import Samples
from rojak.data.shards import PreparedSplit
from rojak.errors import InputError
from rojak.records import Split, Utterance


class Dataset:
    """Records in memory, audio read when asked for; cheap to send to loader workers.

    Args:
        prepared_dir: Folder written by `rojak prepare`.
        splits: Which splits, in this order.

    Raises:
        InputError: No prepared data there, or the splits hold no utterance.
    """

    def __init__(self, prepared_dir: Path, splits: Sequence[Split]) -> None:
        self._parts = [PreparedSplit(prepared_dir, split) for split in splits]
        self._places = [(part, row) for part in self._parts for row in range(len(part))]
        self.utterances: list[Utterance] = [record for part in self._parts for record in part.records()]
        if not self.utterances:
            raise InputError(f"{prepared_dir} has no utterances in {', '.join(splits)}; prepare more recordings.")

    def __len__(self) -> int:
        """Give the number of utterances."""
        return len(self.utterances)

    def read_audio(self, index: int) -> Samples:
        """Read one clip, `(samples,)` float32 at 16 kHz."""
        part, row = self._places[index]
        return part.read_audio(row)
