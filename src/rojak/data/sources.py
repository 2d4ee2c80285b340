"""Read a corpus of any known shape as a stream of `SourceItem`: record fields plus where the recording lies.

    split-folders   DIR/{train,validation,test}/transcripts.json + audio
    transcripts     DIR/transcripts.json, or the file itself: an object of id → item, or a list
    jsonl           FILE.jsonl, or DIR/{train,validation,test}.jsonl (NeMo manifests)
    table           FILE.csv|tsv, or DIR/{train,dev,test}.tsv + DIR/clips (Common Voice)
    text-files      DIR/**/x.wav + x.txt

Paths in a manifest are relative to its folder and must stay under the corpus's root. Nothing is decoded here.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rojak.data.checks import Fault
from rojak.data.manifests import looks_like_jsonl, read_json_items, read_jsonl_items, read_table_items
from rojak.data.settings import SourceKind
from rojak.errors import InputError
from rojak.records import SPLITS

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".aif", ".aiff"}
)

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names that corpora give to the three splits."""

FIELD_NAMES = {
    "audio_filepath": ("audio", "path", "file_name", "filename", "file", "audio_path", "wav"),
    "text": ("sentence", "transcription", "transcript"),
    "audio_id": ("id", "utt_id", "utterance_id", "key"),
    "speaker_id": ("speaker", "client_id", "spk_id"),
    "language": ("lang", "locale"),
}
"""Other names of a field, tried in this order when a record lacks it."""

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
        fields: The record's fields as read, under Rojak's names; `audio_id` is always set.
        where: File and place, for messages.
        audio: The recording; None when `fault` says why there is none.
        fault: Known before the recording is opened.
    """

    fields: dict[str, Any]
    where: str
    audio: Path | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Source:
    """A corpus whose shape is known; `read()` streams its items from the beginning, each time in the same order."""

    kind: SourceKind
    root: Path
    read: Callable[[], Iterator[SourceItem]]


def open_source(path: Path, kind: SourceKind | None = None, columns: dict[str, str] | None = None) -> Source:
    """Recognise the shape of a corpus and give a reader for it.

    Args:
        path: A folder or a manifest file.
        kind: Skip the recognition.
        columns: Record field to the source's name for it, e.g. `{"text": "verse"}`.

    Raises:
        InputError: The path is missing, empty, or of no known shape.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist; give the folder or manifest of a corpus.")
    kind = kind or recognise_kind(path)
    root = (path if path.is_dir() else path.parent).resolve()
    names = {**FIELD_NAMES, **{field: (column,) for field, column in (columns or {}).items()}}
    forced = frozenset(columns or {})

    def read() -> Iterator[SourceItem]:
        for item, base in _READERS[kind](path):
            yield _locate(_rename(item, names, forced), base, root)

    return Source(kind, root, read)


def recognise_kind(path: Path) -> SourceKind:
    """Say which shape a corpus has.

    Raises:
        InputError: It has none of the known ones; lists what was looked for.
    """
    if path.is_file():
        return _recognise_file(path)
    found: dict[SourceKind, Callable[[], object]] = {
        "split-folders": lambda: _split_folders(path),
        "transcripts": (path / "transcripts.json").is_file,
        "jsonl": lambda: _manifests(path, ".jsonl"),
        "table": lambda: _manifests(path, ".tsv", ".csv"),
        "text-files": lambda: next(_walk(path), None),
    }
    for kind, is_it in found.items():
        if is_it():
            return kind
    problem = "holds no corpus" if any(path.iterdir()) else "is empty"
    raise InputError(
        f"{path}: the folder {problem}; looked for transcripts.json (also in train, validation, test), "
        ".jsonl, .csv or .tsv manifests, and recordings with a .txt of the same name."
    )


def _recognise_file(path: Path) -> SourceKind:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if suffix == ".json":
        return "jsonl" if looks_like_jsonl(path) else "transcripts"
    if suffix in (".csv", ".tsv"):
        return "table"
    raise InputError(f"{path}: not a corpus; give a folder, or a .json, .jsonl, .csv or .tsv manifest.")


_RawItems = Iterator[tuple[SourceItem, Path]]
_SPLIT_ORDER: tuple[str, ...] = SPLITS


def _split_folders(path: Path) -> list[Path]:
    folders = (p for p in path.iterdir() if p.name.lower() in SPLIT_NAMES and (p / "transcripts.json").is_file())
    return sorted(folders, key=lambda p: (_SPLIT_ORDER.index(SPLIT_NAMES[p.name.lower()]), p.name))


def _manifests(path: Path, *suffixes: str) -> list[Path]:
    """Manifest files of a folder: those named after splits if there are any, otherwise the only one."""
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file())
    named = [p for p in files if p.stem.lower() in SPLIT_NAMES]
    if not named and len(files) > 1:
        raise InputError(f"{path}: holds several manifests ({', '.join(p.name for p in files)}); give one of them.")
    return sorted(named, key=lambda p: _SPLIT_ORDER.index(SPLIT_NAMES[p.stem.lower()])) or files


def _with_split(item: dict[str, Any], name: str) -> dict[str, Any]:
    split = SPLIT_NAMES.get(name.lower())
    return {**item, "split": split} if split else item


def _read_split_folders(path: Path) -> _RawItems:
    for folder in _split_folders(path):
        for place, item in read_json_items(folder / "transcripts.json"):
            yield SourceItem(_with_split(item, folder.name), f"{folder.name}/{place}"), folder


def _read_transcripts(path: Path) -> _RawItems:
    file = path / "transcripts.json" if path.is_dir() else path
    for place, item in read_json_items(file):
        yield SourceItem(item, place), file.parent


def _read_jsonl(path: Path) -> _RawItems:
    for file in _manifests(path, ".jsonl") if path.is_dir() else [path]:
        for place, item in read_jsonl_items(file):
            yield SourceItem(_with_split(item, file.stem), place), file.parent


def _read_table(path: Path) -> _RawItems:
    for file in _manifests(path, ".tsv", ".csv") if path.is_dir() else [path]:
        for place, item in read_table_items(file):
            yield SourceItem(_with_split(item, file.stem), place), file.parent


def _walk(path: Path) -> Iterator[Path]:
    """Audio and .txt files of a folder, sorted, so that a recording and its text stand together."""
    files = (p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES or p.suffix == ".txt")
    return iter(sorted(p for p in files if p.is_file()))


def _read_text_files(path: Path) -> _RawItems:
    texts = {p.with_suffix("") for p in _walk(path) if p.suffix == ".txt"}
    for file in _walk(path):
        stem = file.with_suffix("")
        name = file.relative_to(path).as_posix()
        item = _with_split({"audio_filepath": name}, name.partition("/")[0])
        if file.suffix == ".txt":
            if not any(stem.with_suffix(s).exists() or stem.with_suffix(s.upper()).exists() for s in AUDIO_SUFFIXES):
                fault = Fault("missing_file", "There is a text file but no recording of the same name.")
                yield SourceItem(item, name, fault=fault), path
        elif stem not in texts:
            fault = Fault("no_transcript", "There is a recording but no .txt file of the same name.")
            yield SourceItem(item, name, fault=fault), path
        else:
            text = stem.with_suffix(".txt").read_text(encoding="utf-8-sig", errors="replace").strip()
            yield SourceItem({**item, "text": text}, name), path


_READERS: dict[SourceKind, Callable[[Path], _RawItems]] = {
    "split-folders": _read_split_folders,
    "transcripts": _read_transcripts,
    "jsonl": _read_jsonl,
    "table": _read_table,
    "text-files": _read_text_files,
}


def _rename(item: SourceItem, names: dict[str, tuple[str, ...]], forced: frozenset[str]) -> SourceItem:
    """Give the fields Rojak's names; a mapped column replaces a field of that name, an alias only fills a gap."""
    fields = dict(item.fields)
    for field, others in names.items():
        if field in forced or fields.get(field) is None:
            found = next((name for name in others if fields.get(name) is not None), None)
            if found:
                fields[field] = fields.pop(found)
    if isinstance(fields.get("language"), str):
        language = fields["language"].strip().lower()
        fields["language"] = LANGUAGE_NAMES.get(language, language) or None
    for field in ("words", "code_switches"):
        if isinstance(fields.get(field), str):  # a table's cell
            try:
                fields[field] = json.loads(fields[field])
            except ValueError:
                return replace(item, fields=fields, fault=Fault("bad_record", f"{field}: not valid JSON."))
    return replace(item, fields=fields)


def _locate(item: SourceItem, base: Path, root: Path) -> SourceItem:
    """Find the recording, hold it to the root, and make sure that the item has an id."""
    fields = dict(item.fields)
    name = fields.get("audio_filepath")
    if isinstance(name, str) and name:
        fields["audio_id"] = str(fields.get("audio_id") or Path(name).with_suffix("").as_posix())
    else:
        fields["audio_id"] = str(fields.get("audio_id") or item.where)
        item = replace(item, fault=item.fault or Fault("bad_record", "audio_filepath: missing or not a string."))
    if item.fault:
        return replace(item, fields=fields)
    assert isinstance(name, str)
    try:
        candidates = [base / name] if "/" in name else [base / name, base / "clips" / name, base / "audio" / name]
        path = next((p for p in candidates if p.is_file()), candidates[0]).resolve()
    except (OSError, RuntimeError, ValueError):
        return replace(item, fields=fields, fault=Fault("bad_record", f"audio_filepath: {name!r} cannot be a path."))
    if not path.is_relative_to(root):
        detail = f"{name!r} leads out of the dataset's folder; recordings must lie under it."
        return replace(item, fields=fields, fault=Fault("outside_root", detail))
    fields["audio_filepath"] = path.relative_to(root).as_posix()
    if not path.is_file():
        return replace(item, fields=fields, fault=Fault("missing_file", f"{name!r} does not exist."))
    return replace(item, fields=fields, audio=path)
