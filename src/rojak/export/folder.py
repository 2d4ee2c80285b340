"""What every exported folder says of itself: `export.json`, written last, so that a half-written export is recognised.

It names the format, the number format of the weights, what was exported with a hash of it, every file with size and
SHA-256, whether a trimmed context is safe, and the result of `rojak verify`.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rojak import __version__
from rojak.errors import InputError
from rojak.runs import read_json, write_json

EXPORT_FILE = "export.json"
Format = Literal["transformers", "ct2", "onnx", "ggml", "tensorrt"]
"""`transformers` is what `rojak merge` writes."""
CHUNK_BYTES = 1 << 20
UNLISTED_FOLDERS = ("engines",)
"""TensorRT fills its engine cache by itself; whatever is in there follows from the listed files."""


@dataclass(frozen=True)
class ExportRecord:
    """The contents of `export.json`.

    Attributes:
        format: What the files are for.
        dtype: Number format of the weights, in the format's own word (int8, q5_0 …).
        source: What was exported, as the user named it.
        source_sha256: Of the exported weights, names and values: equal for exports of the same model.
        num_mels: 80 or 128.
        files: Size and SHA-256 of every other file.
        trim_safe: Whether a trimmed context is as good as the full one; decided by `rojak verify`.
        verify: The result of `rojak verify` against the source, or None where it was left out.
        rojak: Version that wrote it.
    """

    format: Format
    dtype: str
    source: str
    source_sha256: str
    num_mels: int
    files: dict[str, dict[str, Any]]
    trim_safe: bool = False
    verify: dict[str, Any] | None = None
    rojak: str = field(default=__version__)


def sha256_of(path: Path) -> str:
    """Hash a file in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Give size and hash of every file in a folder but `export.json` and what TensorRT keeps for itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and place.parts[0] not in (EXPORT_FILE, *UNLISTED_FOLDERS):
            found[place.as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return found


def write_export(folder: Path, record: ExportRecord) -> None:
    """Write `export.json`, replacing an earlier one."""
    write_json(folder / EXPORT_FILE, asdict(record))


def read_export(folder: Path, *, hashes: bool = False) -> ExportRecord:
    """Read `export.json` and check that the files it names are there and whole.

    Args:
        folder: Written by `rojak export`.
        hashes: Also compare every file's SHA-256, which reads all of it; sizes are always compared.

    Raises:
        InputError: No export, of an unknown format, or a file is missing or changed.
    """
    record = parse_export(read_json(folder / EXPORT_FILE), str(folder / EXPORT_FILE))
    for name, entry in record.files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{folder} lacks {name}, which {EXPORT_FILE} names; copy it again or export again.")
        if path.stat().st_size != entry["bytes"] or (hashes and sha256_of(path) != entry["sha256"]):
            raise InputError(f"{path} was changed after the export; copy it again or export again.")
    return record


def parse_export(values: Any, where: str) -> ExportRecord:
    """Make a record of the content of `export.json`.

    Args:
        values: What was read.
        where: Its path, for the sentence.

    Raises:
        InputError: It is no such record, or names files outside its folder.
    """
    try:
        record = ExportRecord(**values)
        whole = all(isinstance(e["bytes"], int) and isinstance(e["sha256"], str) for e in record.files.values())
    except (TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise InputError(f"{where} is not a record that `rojak export` wrote; export again.")
    if record.format not in get_args(Format):
        known = ", ".join(get_args(Format))
        raise InputError(f"{where} names the format {record.format!r}; this Rojak knows {known}.")
    outside = [name for name in record.files if ".." in Path(name).parts or Path(name).is_absolute()]
    if outside:
        raise InputError(f"{where} names {outside[0]}, which is outside the folder; export again.")
    return record
