"""One entry of a corpus, whatever its shape: fields under Rojak's names, and a recording held to the corpus's root."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rojak.data.checks import Fault

FIELD_NAMES = {
    "audio_filepath": ("audio", "path", "file_name", "filename", "file", "audio_path", "wav"),
    "text": ("sentence", "transcription", "transcript"),
    "audio_id": ("id", "utt_id", "utterance_id", "key"),
    "speaker_id": ("speaker", "client_id", "spk_id"),
    "language": ("lang", "locale"),
}
"""Other names of a field, tried in this order when a record lacks it."""

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names that corpora give to the three splits."""

LANGUAGE_NAMES = {
    "malay": "ms", "msa": "ms", "zsm": "ms", "ms-my": "ms", "bm": "ms",
    "english": "en", "eng": "en", "en-my": "en", "en-sg": "en", "en-us": "en", "en-gb": "en",
    "chinese": "zh", "mandarin": "zh", "cmn": "zh", "zho": "zh", "zh-cn": "zh", "zh-my": "zh", "zh-sg": "zh",
    "tamil": "ta", "tam": "ta", "ta-in": "ta", "ta-my": "ta",
    "code-switched": "mixed", "code-switching": "mixed", "cs": "mixed", "multi": "mixed", "multilingual": "mixed",
}  # fmt: skip


@dataclass(frozen=True)
class SourceItem:
    """One entry of a corpus.

    Attributes:
        fields: The record's fields under Rojak's names; `audio_id` is always set. `duration` is what the corpus says.
        where: File and place, for messages.
        audio: A file, or the bytes of one; None when `fault` says why there is none.
        start_s: Where the utterance begins in a longer recording.
        length_s: How long it is there, None for a whole recording.
        fault: Known before the recording is opened.
    """

    fields: dict[str, Any]
    where: str
    audio: Path | bytes | None = None
    start_s: float = 0.0
    length_s: float | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class RawItem:
    """What a reader of `sources` gives: fields under the corpus's own names.

    Attributes:
        fields: As read.
        where: File and place.
        base: The folder that relative paths start from.
        data: The recording itself, where the corpus holds bytes and not paths.
        fault: Known to the reader.
    """

    fields: dict[str, Any]
    where: str
    base: Path
    data: bytes | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Renaming:
    """How fields are named in the corpus: `columns` are the user's and win, `FIELD_NAMES` only fill gaps."""

    columns: dict[str, str] = field(default_factory=dict)

    def apply(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Give the fields Rojak's names."""
        fields = dict(fields)
        for name, column in self.columns.items():
            fields[name] = fields.pop(column, None)
        for name, others in FIELD_NAMES.items():
            if fields.get(name) is None and name not in self.columns:
                found = next((other for other in others if fields.get(other) is not None), None)
                if found:
                    fields[name] = fields.pop(found)
        return fields


class _BadFieldError(Exception):
    """A field whose value cannot be used; the message says which and why."""


def finish_item(raw: RawItem, renaming: Renaming, root: Path) -> SourceItem:
    """Rename the fields, find the recording under `root`, and give the item an id."""
    try:
        json.dumps([raw.fields, raw.where], ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:  # JSON may hold half a surrogate pair, which no file and no table can
        where = raw.where.encode(errors="replace").decode()
        fault = Fault("bad_record", "Holds text that is not Unicode (half a surrogate pair).")
        return SourceItem({"audio_id": where}, where, fault=fault)
    fields = renaming.apply(raw.fields)
    name: Any = fields.get("audio_filepath")
    named = isinstance(name, str) and name != ""
    fallback_id = os.path.splitext(name)[0].removeprefix("./") if named else raw.where  # noqa: PTH122 - any string
    has_id = fields.get("audio_id") not in (None, "")
    fields["audio_id"] = str(fields["audio_id"]) if has_id else fallback_id
    item = SourceItem(fields, raw.where, fault=raw.fault)
    if raw.fault:
        return item
    try:
        _read_cells(fields)
        start_s, length_s = _segment(fields)
    except _BadFieldError as error:
        return replace(item, fault=Fault("bad_record", str(error)))
    if length_s is not None and not has_id and named:
        fields["audio_id"] += f"-{round(start_s * 1000):08d}"  # several utterances share a recording
    item = replace(item, start_s=start_s, length_s=length_s)
    if raw.data is not None:
        fields["audio_filepath"] = Path(name).name if named else fields["audio_id"]
        return replace(item, audio=raw.data)
    if not named:
        return replace(item, fault=Fault("bad_record", "audio_filepath: missing or not a string."))
    return _locate(item, raw.base, root)


def _read_cells(fields: dict[str, Any]) -> None:
    """Bring languages to Rojak's names, and read the cells of tables that hold JSON or numbers."""
    language = fields.get("language")
    if isinstance(language, str):
        language = language.strip().lower()
        fields["language"] = LANGUAGE_NAMES.get(language, language) or None
    split = fields.get("split")
    if isinstance(split, str):
        fields["split"] = SPLIT_NAMES.get(split.strip().lower(), split)
    for name in ("words", "code_switches"):
        if isinstance(fields.get(name), str):
            try:
                fields[name] = json.loads(fields[name])
            except (ValueError, RecursionError):
                raise _BadFieldError(f"{name}: not valid JSON.") from None


def _segment(fields: dict[str, Any]) -> tuple[float, float | None]:
    """Take `offset` out of the fields: with one, `duration` is the length of a piece of the recording."""
    offset = fields.pop("offset", None)
    if fields.get("duration") is not None:
        fields["duration"] = _seconds("duration", fields["duration"])
    if offset is None:
        return 0.0, None
    start_s = _seconds("offset", offset)
    if fields.get("duration") is None:
        raise _BadFieldError("offset: given without a duration.")
    return start_s, fields["duration"]


def _seconds(name: str, value: object) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _BadFieldError(f"{name}: {value!r} is not a number of seconds.") from None
    if not 0 <= seconds < 1e7:
        raise _BadFieldError(f"{name}: {value!r} is not a number of seconds.")
    return seconds


def _locate(item: SourceItem, base: Path, root: Path) -> SourceItem:
    """Find the recording and hold it to the root; links are followed before that is judged."""
    name = item.fields["audio_filepath"]
    try:
        candidates = [base / name] if "/" in name else [base / name, base / "clips" / name, base / "audio" / name]
        path = next((p for p in candidates if p.is_file()), candidates[0]).resolve()
    except (OSError, RuntimeError, ValueError):
        return replace(item, fault=Fault("bad_record", f"audio_filepath: {name[:200]!r} cannot be a path."))
    if not path.is_relative_to(root):
        detail = f"{name!r} leads out of {root.name}/; recordings must lie under it, or set audio_root."
        return replace(item, fault=Fault("outside_root", detail))
    fields = {**item.fields, "audio_filepath": path.relative_to(root).as_posix()}
    if not path.is_file():
        return replace(item, fields=fields, fault=Fault("missing_file", f"{name!r} does not exist."))
    return replace(item, fields=fields, audio=path)
