"""Look a corpus over before anything is decoded: how many items, what they depend on, which are bad already."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rojak.data.checks import Fault, check_num_tokens
from rojak.data.items import FIELD_NAMES, SourceItem
from rojak.data.settings import PrepareSettings
from rojak.data.sources import Source
from rojak.errors import InputError

FORMAT = 2
"""Raised when the same corpus and settings would give other shards than before."""

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class Survey:
    """Number of items, and hashes of everything that the result depends on (`inputs`, `settings`)."""

    num_items: int
    fingerprint: dict[str, str]


def survey(corpus: Source, settings: PrepareSettings, *, counts_tokens: bool) -> Survey:
    """Go through a corpus once without opening a recording.

    A recording replaced by another of equal size and modification time is not noticed.

    Raises:
        InputError: The corpus is empty, a part of it cannot be read, or no item has a text, a recording, or a column
            that was named.
        ManifestError: A transcript file is malformed.
    """
    inputs = hashlib.blake2b(digest_size=16)
    num_items = 0
    first: dict[str, Any] = {}
    unseen = {"text", "audio_filepath", *settings.columns} - {"offset"}  # which is no field any more by now
    try:
        for item in corpus.read():
            inputs.update(item_mark(item))
            first = first or item.fields
            unseen = {name for name in unseen if item.fields.get(name) is None}
            num_items += 1
    except OSError as error:
        raise InputError(f"{error.filename or corpus.name}: cannot be read ({error.strerror or error}).") from None
    if not num_items:
        raise InputError(f"{corpus.name}: no recordings in it (read as {corpus.kind}).")
    for name in sorted(unseen):
        raise InputError(f"{corpus.name}: {_explain_absence(name, corpus.kind, first, settings)}.")
    chosen = json.dumps([settings.model_dump(mode="json"), counts_tokens, FORMAT], sort_keys=True)
    settings_hash = hashlib.blake2b(chosen.encode(), digest_size=16).hexdigest()
    return Survey(num_items, {"inputs": inputs.hexdigest(), "settings": settings_hash})


def _explain_absence(name: str, kind: str, first: dict[str, Any], settings: PrepareSettings) -> str:
    """Say that no item has a field, and what the first one has instead."""
    if kind == "text-files" and name == "text":
        return "no recording has a .txt file of the same name beside it"
    found = ", ".join(field for field, value in first.items() if value is not None and field != "audio_id") or "nothing"
    if name in settings.columns:
        column = settings.columns[name]
        return f"no item has anything in the column {column!r}, given as its {name}; the first one has {found}"
    names = f"{name} (nor {', '.join(FIELD_NAMES[name])})"
    return f"no item has the field {names}; the first one has {found}; name its column: --column {name}=COLUMN"


def item_mark(item: SourceItem) -> bytes:
    """Give bytes that change when an item does: its fields and fault, size and time of a file, the hash of bytes."""
    sound: object = None
    if isinstance(item.audio, Path):
        try:
            stat = item.audio.stat()
            sound = [stat.st_size, stat.st_mtime_ns]
        except OSError:
            sound = "gone"
    elif item.audio is not None:
        sound = hashlib.blake2b(item.audio, digest_size=16).hexdigest()
    seen = [item.fields, item.start_s, item.length_s, item.fault and item.fault.reason, sound]
    return json.dumps(seen, sort_keys=True, default=str).encode()


def checked_items(
    items: Iterable[SourceItem], count_tokens: CountTokens | None, settings: PrepareSettings
) -> Iterator[SourceItem]:
    """Mark items that need no decoding to be refused: an audio_id used twice, too many label tokens.

    Done here and not in the worker processes, which see a part of the corpus only and load no tokenizer.
    """
    seen: set[str] = set()
    for item in items:
        audio_id, text = item.fields["audio_id"], item.fields.get("text")
        fault = item.fault
        if not fault and audio_id in seen:
            fault = Fault("duplicate_id", f"The audio_id {audio_id!r} was used before.")
        if not fault and count_tokens and isinstance(text, str):
            fault = check_num_tokens(count_tokens(text.strip()), settings)
        seen.add(audio_id)
        yield replace(item, fault=fault) if fault else item
