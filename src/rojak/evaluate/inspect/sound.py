"""Sound and text of refused clips, which prepared data does not hold: read again from the corpus they came from."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rojak.audio import Samples, decode_audio
from rojak.data.clips import Refusal
from rojak.data.items import SourceItem
from rojak.data.settings import PrepareSettings
from rojak.data.shards import PreparedSplit, open_prepared
from rojak.data.sources import open_source
from rojak.errors import RojakError
from rojak.records import SPLITS

PLAYED_S = 30.0


@dataclass(frozen=True)
class RefusedClip:
    """A refused clip with what the corpus holds of it; `item` is None where the corpus was not given."""

    refusal: Refusal
    item: SourceItem | None = None

    @property
    def text(self) -> str:
        """Its transcript, '' where there is none."""
        text = self.item.fields.get("text") if self.item else None
        return text if isinstance(text, str) else ""

    def read_audio(self) -> Samples | None:
        """Decode its first `PLAYED_S` seconds; None where it cannot be decoded."""
        if self.item is None or self.item.audio is None:
            return None
        length_s = None if self.item.length_s is None else min(self.item.length_s, PLAYED_S)
        try:
            with _hushed():
                return decode_audio(
                    self.item.audio, max_seconds=PLAYED_S, start_s=self.item.start_s, length_s=length_s
                ).samples
        except (RojakError, OSError):
            return None


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep libmpg123's remarks on broken files, which it writes to file descriptor 2 itself, off the terminal."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def find_refused(refusals: Iterable[Refusal], source: str | None, settings: dict[str, Any]) -> list[RefusedClip]:
    """Look refused clips up in their corpus by the place that quarantine.jsonl names, audited ones by their id.

    Args:
        refusals: Which.
        source: The corpus that was prepared; None when it is not at hand.
        settings: Those of the run, as in stats.json, since they say how the corpus is read.

    Raises:
        InputError: The corpus cannot be read.
    """
    wanted = list(refusals)
    by_place = {refusal.where: number for number, refusal in enumerate(wanted)}
    audited = {refusal.audio_id: number for number, refusal in enumerate(wanted) if refusal.reason == "unlike_model"}
    found: dict[int, SourceItem] = {}
    if source is not None and wanted:
        for item in open_source(source, _settings(settings)).read():
            number = by_place.get(item.where, audited.get(item.fields["audio_id"]))
            if number is not None:
                found[number] = item
                if len(found) == len(wanted):
                    break
    return [RefusedClip(refusal, found.get(number)) for number, refusal in enumerate(wanted)]


def _settings(values: dict[str, Any]) -> PrepareSettings:
    try:
        return PrepareSettings.model_validate(values)
    except ValidationError:  # another version's
        return PrepareSettings()


def prepared_reader(prepared_dir: Path) -> Callable[[str], Samples | None]:
    """Give a function from audio_id to its prepared sound."""
    places: dict[str, tuple[PreparedSplit, int]] = {}
    for split in SPLITS:
        part = open_prepared(prepared_dir, split)
        places |= {audio_id: (part, row) for row, audio_id in enumerate(part.column("audio_id"))}

    def read(audio_id: str) -> Samples | None:
        if audio_id not in places:
            return None
        part, row = places[audio_id]
        return part.read_audio(row)

    return read
