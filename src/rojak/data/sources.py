"""Read a corpus of any known shape as a stream of `SourceItem`. Nothing is decoded here, and nothing is held whole.

    split-folders   DIR/{train,validation,test}/transcripts.json + audio
    transcripts     DIR/transcripts.json, or the file itself: an object of id → item, or a list
    kaldi           DIR/{wav.scp,text,utt2spk,segments}, or such folders named after splits
    huggingface     DIR written by `save_to_disk`
    parquet         FILE.parquet or DIR/**/*.parquet with an `audio` column: also what `prepare` itself writes
    jsonl           FILE.jsonl, or DIR/{train,validation,test}.jsonl (NeMo manifests, with `offset` too)
    table           FILE.csv|tsv, or DIR/{train,dev,test}.tsv + DIR/clips (Common Voice)
    text-files      DIR/**/x.wav + x.txt
    hub             hf:OWNER/NAME, a dataset of the Hugging Face hub

Paths in a manifest are relative to its folder and must stay under the corpus's root.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rojak.data.checks import Fault
from rojak.data.items import SPLIT_NAMES, RawItem, Renaming, SourceItem, finish_item
from rojak.data.manifests import looks_like_jsonl, open_text, read_json_items, read_jsonl_items, read_table_items
from rojak.data.settings import PrepareSettings, SourceKind
from rojak.errors import InputError, ManifestError
from rojak.records import SPLITS

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".aif", ".aiff"}
)
HUB_PREFIX = "hf:"

_RawItems = Iterator[RawItem]
_SPLIT_ORDER: tuple[str, ...] = SPLITS


@dataclass(frozen=True)
class Source:
    """A corpus whose shape is known; `read()` streams its items from the beginning, each time in the same order."""

    kind: SourceKind
    name: str
    read: Callable[[], Iterator[SourceItem]]


def open_source(location: str | Path, settings: PrepareSettings | None = None) -> Source:
    """Recognise the shape of a corpus and give a reader for it.

    Args:
        location: A folder, a manifest file, or `hf:OWNER/NAME`.
        settings: `kind` skips the recognition, `columns` renames, `audio_root` widens where recordings may lie.

    Raises:
        InputError: The location is missing, empty, or of no known shape.
    """
    settings = settings or PrepareSettings()
    renaming = Renaming(settings.columns)
    if str(location).startswith(HUB_PREFIX) or settings.kind == "hub":
        name = str(location).removeprefix(HUB_PREFIX)
        return Source("hub", name, lambda: (finish_item(raw, renaming, Path.cwd()) for raw in _read_hub(name)))
    path = Path(location)
    if not path.exists():
        raise InputError(f"{path}: does not exist; give the folder or manifest of a corpus, or hf:OWNER/NAME.")
    kind = settings.kind or recognise_kind(path)
    root = (settings.audio_root or (path if path.is_dir() else path.parent)).resolve()
    return Source(kind, str(path), lambda: (finish_item(raw, renaming, root) for raw in _READERS[kind](path)))


def recognise_kind(path: Path) -> SourceKind:
    """Say which shape a corpus has.

    Raises:
        InputError: It has none of the known ones; lists what was looked for.
    """
    if path.is_file():
        return _recognise_file(path)
    found: dict[SourceKind, Callable[[], object]] = {
        "split-folders": lambda: _split_folders(path, "transcripts.json"),
        "transcripts": (path / "transcripts.json").is_file,
        "kaldi": lambda: _kaldi_folders(path),
        "huggingface": lambda: (path / "dataset_dict.json").is_file() or (path / "state.json").is_file(),
        "parquet": lambda: next(path.rglob("*.parquet"), None),
        "jsonl": lambda: _manifests(path, ".jsonl"),
        "table": lambda: _manifests(path, ".tsv", ".csv"),
        "text-files": lambda: next(_walk(path), None),
    }
    for kind, is_it in found.items():
        if is_it():
            return kind
    problem = "holds no corpus" if any(path.iterdir()) else "is empty"
    raise InputError(
        f"{path}: the folder {problem}; looked for transcripts.json (also in train, validation, test), wav.scp, "
        ".parquet, .jsonl, .csv or .tsv files, and recordings with a .txt of the same name."
    )


def _recognise_file(path: Path) -> SourceKind:
    kinds: dict[str, SourceKind] = {
        ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "table", ".tsv": "table", ".parquet": "parquet",
    }  # fmt: skip
    suffix = path.suffix.lower()
    if suffix == ".json":
        return "jsonl" if looks_like_jsonl(path) else "transcripts"
    if suffix in kinds:
        return kinds[suffix]
    raise InputError(f"{path}: not a corpus; give a folder, or a .json, .jsonl, .csv, .tsv or .parquet file.")


def _split_folders(path: Path, manifest: str) -> list[Path]:
    """Folders named after splits that hold a manifest, in the order train, validation, test."""
    folders = (p for p in path.iterdir() if p.name.lower() in SPLIT_NAMES and (p / manifest).is_file())
    return sorted(folders, key=lambda p: (_SPLIT_ORDER.index(SPLIT_NAMES[p.name.lower()]), p.name))


def _manifests(path: Path, *suffixes: str) -> list[Path]:
    """Manifest files of a folder: those named after splits if there are any, otherwise the only one."""
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file())
    named = [p for p in files if p.stem.lower() in SPLIT_NAMES]
    if not named and len(files) > 1:
        raise InputError(f"{path}: holds several manifests ({', '.join(p.name for p in files)}); give one of them.")
    return sorted(named, key=lambda p: _SPLIT_ORDER.index(SPLIT_NAMES[p.stem.lower()])) or files


def _with_split(fields: dict[str, Any], name: str) -> dict[str, Any]:
    split = SPLIT_NAMES.get(name.lower())
    return {**fields, "split": split} if split else fields


def _split_of(name: str) -> str | None:
    """Give the split that a name begins with, such as `test_clean` or `train-00000-of-00003`."""
    return SPLIT_NAMES.get(re.split(r"[-_.]", name, maxsplit=1)[0].lower())


def _read_split_folders(path: Path) -> _RawItems:
    for folder in _split_folders(path, "transcripts.json"):
        for place, fields in read_json_items(folder / "transcripts.json"):
            yield RawItem(_with_split(fields, folder.name), f"{folder.name}/{place}", folder)


def _read_transcripts(path: Path) -> _RawItems:
    file = path / "transcripts.json" if path.is_dir() else path
    for place, fields in read_json_items(file):
        yield RawItem(fields, place, file.parent)


def _read_jsonl(path: Path) -> _RawItems:
    for file in _manifests(path, ".jsonl") if path.is_dir() else [path]:
        for place, fields in read_jsonl_items(file):
            yield RawItem(_with_split(fields, file.stem), place, file.parent)


def _read_table(path: Path) -> _RawItems:
    for file in _manifests(path, ".tsv", ".csv") if path.is_dir() else [path]:
        for place, fields in read_table_items(file):
            yield RawItem(_with_split(fields, file.stem), place, file.parent)


def _walk(path: Path) -> Iterator[Path]:
    """Audio and .txt files of a folder, sorted, so that a recording and its text stand together."""
    files = (p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES or p.suffix == ".txt")
    return iter(sorted(p for p in files if p.is_file()))


def _read_text_files(path: Path) -> _RawItems:
    found = list(_walk(path))
    texts = {p.with_suffix("") for p in found if p.suffix == ".txt"}
    recordings = {p.with_suffix("") for p in found if p.suffix != ".txt"}
    for file in found:
        name = file.relative_to(path).as_posix()
        fields = _with_split({"audio_filepath": name}, name.partition("/")[0])
        stem = file.with_suffix("")
        if file.suffix == ".txt":
            if stem not in recordings:
                fault = Fault("missing_file", "There is a text file but no recording of the same name.")
                yield RawItem(fields, name, path, fault=fault)
        elif stem not in texts:
            fault = Fault("no_transcript", "There is a recording but no .txt file of the same name.")
            yield RawItem(fields, name, path, fault=fault)
        else:
            text = stem.with_name(stem.name + ".txt").read_text(encoding="utf-8-sig", errors="replace").strip()
            yield RawItem({**fields, "text": text}, name, path)


def _kaldi_folders(path: Path) -> list[Path]:
    return [path] if (path / "wav.scp").is_file() else _split_folders(path, "wav.scp")


def _kaldi_table(path: Path) -> dict[str, str]:
    """Read `key value…` lines; a missing file is an empty table."""
    if not path.is_file():
        return {}
    with open_text(path) as file:
        lines = (line.replace("\t", " ").strip().partition(" ") for line in file)
        try:
            return {key: value.strip() for key, _, value in lines if key}
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path}: not UTF-8 ({error.reason}); save the file as UTF-8.") from None


def _read_kaldi(path: Path) -> _RawItems:
    for folder in _kaldi_folders(path):
        recordings, texts = _kaldi_table(folder / "wav.scp"), _kaldi_table(folder / "text")
        speakers, segments = _kaldi_table(folder / "utt2spk"), _kaldi_table(folder / "segments")
        for audio_id in dict.fromkeys([*texts, *(segments or recordings)]):
            where = f"{folder.name}/text, utterance {audio_id}"
            recording, *times = segments.get(audio_id, audio_id).split() or [""]
            wav = recordings.get(recording)
            fields = {"audio_id": audio_id, "audio_filepath": wav, "text": texts.get(audio_id)}
            fields = _with_split({**fields, "speaker_id": speakers.get(audio_id)}, folder.name)
            fault = None
            if wav is None:
                fault = Fault("missing_file", f"The recording {recording!r} is not in wav.scp.")
            elif wav.endswith("|"):
                fault = Fault("bad_record", f"wav.scp holds the command {wav!r}; commands are not run, give a file.")
            elif times:
                fault = _add_times(fields, times)
            yield RawItem(fields, where, folder, fault=fault)


def _add_times(fields: dict[str, Any], times: list[str]) -> Fault | None:
    try:
        start, end = map(float, times)
    except ValueError:
        return Fault("bad_record", f"segments: {' '.join(times)!r} is not a start and an end in seconds.")
    fields.update(offset=start, duration=round(end - start, 6))
    return None


def _audio_row(row: dict[str, Any], where: str, base: Path) -> RawItem:
    """Take the sound out of a row as `datasets` stores it: {"bytes", "path"}, a path alone, or bytes alone."""
    fields = {name: value for name, value in row.items() if value is not None}
    sound, data = fields.pop("audio", None), None
    if isinstance(sound, dict):
        data, sound = sound.get("bytes"), sound.get("path")
    elif isinstance(sound, bytes):
        data, sound = sound, None
    if isinstance(unknown := _unpack(fields.get("extra")), dict):
        del fields["extra"]
        fields = {**unknown, **fields}
    if sound:
        fields.setdefault("audio_filepath", sound)
    return RawItem(fields, where, base, data)


def _unpack(extra: object) -> object:
    """Read the fields that `prepare` has put into `extra`; a corpus may have a column of that name itself."""
    try:
        return json.loads(extra or "{}") if isinstance(extra, str) else None
    except ValueError:
        return None


def _read_parquet(path: Path) -> _RawItems:
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    # Files are named after their split, or lie in a folder that is.
    folders = {file: file.parent.name if file.parent != path else "" for file in files}
    names = {file: _split_of(file.name) or _split_of(folders[file]) or "" for file in files}
    for file in sorted(files, key=lambda f: (_SPLIT_ORDER.index(names[f]) if names[f] else 0, f)):
        number = 0
        try:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=16):
                for row in batch.to_pylist():
                    yield _audio_row(_with_split(row, names[file]), f"{file.name}, row {number}", file.parent)
                    number += 1
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(f"{file}: cannot be read as Parquet ({error}).") from None


def _read_huggingface(path: Path) -> _RawItems:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a dataset on disk ({error}).") from None
    yield from _read_dataset(loaded, path)


def _read_hub(name: str) -> _RawItems:
    import datasets

    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises dozens of kinds
        raise InputError(f"{HUB_PREFIX}{name}: cannot be loaded from the hub ({error}).") from None
    yield from _read_dataset(loaded, Path.cwd())


def _read_dataset(loaded: Any, base: Path) -> _RawItems:
    """Go through a `datasets.Dataset` or `DatasetDict` without decoding its audio.

    Clips of a part that is no split, such as `invalidated`, keep its name and are refused for it.
    """
    import datasets

    parts = loaded if isinstance(loaded, dict) else {"": loaded}
    for split, part in parts.items():
        for name, feature in part.features.items():
            if isinstance(feature, datasets.Audio):
                part = part.cast_column(name, datasets.Audio(decode=False))  # noqa: PLW2901
                if name != "audio":
                    part = part.rename_column(name, "audio")  # noqa: PLW2901
        for number, row in enumerate(part):
            fields = {**row, "split": _split_of(split) or split} if split else row
            yield _audio_row(fields, f"{split or 'dataset'}, row {number}", base)


_READERS: dict[SourceKind, Callable[[Path], _RawItems]] = {
    "split-folders": _read_split_folders,
    "transcripts": _read_transcripts,
    "kaldi": _read_kaldi,
    "huggingface": _read_huggingface,
    "parquet": _read_parquet,
    "jsonl": _read_jsonl,
    "table": _read_table,
    "text-files": _read_text_files,
}
