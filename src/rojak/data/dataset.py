"""Prepared utterances of one or more splits as one numbered list.

Reads prepared shards; `PreparedSplit` does the work for each split.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from rojak.audio import Samples
from rojak.data.shards import PreparedSplit
from rojak.data.splice import Splice, render_splice
from rojak.errors import InputError
from rojak.records import LANGUAGES, Split, Utterance
from rojak.runs import read_json


def prompt_language(utterance: Utterance, mixed: str) -> str:
    """Give the language whose token stands before the text.

    Args:
        utterance: With `language` and, for mixed ones, `words`.
        mixed: Code for mixed utterances, or `matrix` for the language of most of their words.
    """
    if utterance.language and utterance.language != "mixed":
        return utterance.language
    if mixed != "matrix":
        return mixed
    counts = Counter(word.language for word in utterance.words or () if word.language in LANGUAGES)
    return counts.most_common(1)[0][0] if counts else LANGUAGES[0]


class Dataset:
    """Records in memory, audio read when asked for; sent to another process, it reads records when asked for too.

    Args:
        prepared_dir: Folder written by `rojak prepare`.
        splits: Which splits, in this order.

    Raises:
        InputError: No prepared data there, or the splits hold no utterance.
    """

    def __init__(self, prepared_dir: Path, splits: Sequence[Split]) -> None:
        self.prepared_dir, self.splits = prepared_dir, tuple(splits)
        self._parts = [PreparedSplit(prepared_dir, split) for split in splits]
        self._places = [(part, row) for part in self._parts for row in range(len(part))]
        self.utterances: Sequence[Utterance] = [record for part in self._parts for record in part.records()]
        if not self.utterances:
            raise InputError(f"{prepared_dir} has no utterances in {', '.join(splits)}; prepare more recordings.")
        self._speakers = [utterance.speaker_id for utterance in self.utterances]
        self._splices: list[Splice] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave the records behind: half a million of them would fill gigabytes in every loader worker."""
        return {name: value for name, value in self.__dict__.items() if name != "utterances"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.utterances = _RecordsOnDemand(self._places, self._splices)

    def mark(self) -> str:
        """Give a hash that changes when the data are prepared anew from other recordings or settings."""
        stats = read_json(self.prepared_dir / "stats.json")
        told = json.dumps([stats.get("fingerprint"), stats.get("files")], sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def keep_hours(self, hours: float, seed: int) -> None:
        """Keep a random part of so many hours, in the old order, and forget the rest."""
        kept: list[int] = []
        total_s = 0.0
        for index in np.random.default_rng(seed).permutation(len(self._places)).tolist():
            if kept and total_s + self.utterances[index].duration > hours * 3600:
                break
            kept.append(index)
            total_s += self.utterances[index].duration
        kept.sort()
        self._places = [self._places[index] for index in kept]
        self.utterances = [self.utterances[index] for index in kept]
        self._speakers = [self._speakers[index] for index in kept]

    def set_splices(self, splices: Sequence[Splice]) -> None:
        """Let made utterances stand behind the recorded ones, in place of any that stood there."""
        self._splices = list(splices)
        made = [splice.record for splice in self._splices]
        self.utterances = [*self.utterances[: len(self._places)], *made]
        self._speakers = [*self._speakers[: len(self._places)], *(record.speaker_id for record in made)]

    def __len__(self) -> int:
        """Give the number of utterances."""
        return len(self.utterances)

    def read_audio(self, index: int) -> Samples:
        """Read one clip, `(samples,)` float32 at 16 kHz."""
        if index >= len(self._places):
            return render_splice(self._splices[index - len(self._places)], self.read_audio)
        part, row = self._places[index]
        return part.read_audio(row)

    def voices_beside(self, index: int) -> Callable[[np.random.Generator, int], list[Samples]]:
        """Give a function that reads random recordings of other speakers than that of `index`, where there are any."""
        speakers = self._speakers

        def draw(rng: np.random.Generator, count: int) -> list[Samples]:
            candidates = rng.integers(len(speakers), size=8 * count).tolist()
            others = [i for i in candidates if speakers[index] is None or speakers[i] != speakers[index]]
            return [self.read_audio(i) for i in (others or candidates)[:count]]

        return draw


class _RecordsOnDemand(Sequence[Utterance]):
    """The records of a data set, each made from its Arrow row when it is asked for."""

    def __init__(self, places: Sequence[tuple[PreparedSplit, int]], splices: Sequence[Splice]) -> None:
        self._places, self._splices = places, splices

    def __len__(self) -> int:
        return len(self._places) + len(self._splices)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if index >= len(self._places):
            return self._splices[index - len(self._places)].record
        part, row = self._places[index]
        return part.record(row)
