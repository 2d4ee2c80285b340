"""Prepared utterances of one or more splits as one numbered list.

Reads prepared shards; `PreparedSplit` does the work for each split.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rojak.audio import Samples
from rojak.data.shards import PreparedSplit
from rojak.data.splice import Splice, render_splice
from rojak.errors import InputError
from rojak.records import LANGUAGES, Split, Utterance


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
    """Records in memory, audio read when asked for; cheap to send to loader workers.

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
        self.utterances: list[Utterance] = [record for part in self._parts for record in part.records()]
        if not self.utterances:
            raise InputError(f"{prepared_dir} has no utterances in {', '.join(splits)}; prepare more recordings.")
        self._splices: list[Splice] = []

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

    def set_splices(self, splices: Sequence[Splice]) -> None:
        """Let made utterances stand behind the recorded ones, in place of any that stood there."""
        self._splices = list(splices)
        self.utterances = [*self.utterances[: len(self._places)], *(splice.record for splice in self._splices)]

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
        speaker = self.utterances[index].speaker_id

        def draw(rng: np.random.Generator, count: int) -> list[Samples]:
            candidates = rng.integers(len(self.utterances), size=8 * count).tolist()
            others = [i for i in candidates if speaker is None or self.utterances[i].speaker_id != speaker]
            return [self.read_audio(i) for i in (others or candidates)[:count]]

        return draw
