"""`rojak package --check DIR|TAR`: tells whether a package, or the tar of one, is whole and unchanged.

Reads a package, the tar without unpacking it; writes nothing.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rojak.errors import InputError
from rojak.export.folder import CHUNK_BYTES, EXPORT_FILE, parse_export, sha256_of
from rojak.export.package.card import EXAMPLE_WAV
from rojak.export.package.package import PACKAGE_FILE, SCHEMA, SUMS_FILE
from rojak.runs import explain_os_error

NEEDED = ("README.md", "LICENCES.md", PACKAGE_FILE, EXAMPLE_WAV)


@dataclass(frozen=True)
class _Files:
    """The files of a package, wherever they lie: their names, and ways to hash and to read one."""

    names: frozenset[str]
    sha256: Callable[[str], str]
    read: Callable[[str], bytes]


def check_package(path: Path) -> list[str]:
    """Check every file of a package against its checksum and every export against its record.

    Args:
        path: The folder, or its tar.

    Returns:
        The warnings that the package was made with.

    Raises:
        InputError: Not a package, or something in it is missing, changed or added; names what.
    """
    try:
        with _open_tar(path) if path.is_file() else _open_folder(path) as files:
            return _check(path, files)
    except tarfile.TarError as error:
        raise InputError(f"{path} is not a whole tar file ({error}); get it again.") from error
    except OSError as error:
        raise explain_os_error(error, path) from error


def _check(path: Path, files: _Files) -> list[str]:
    if SUMS_FILE not in files.names:
        raise InputError(f"{path} is no package: it has no {SUMS_FILE}; make one with `rojak package`.")
    sums = _read_sums(path, files)
    missing = [name for name in (*NEEDED, *sums) if name not in files.names]
    if missing:
        raise InputError(f"{path} lacks {_some(missing)}; get the package again.")
    added = sorted(files.names - set(sums) - {SUMS_FILE})
    if added:
        raise InputError(f"{path} holds {_some(added)}, which the package does not; remove it or get it again.")
    changed = [name for name, digest in sums.items() if files.sha256(name) != digest]
    if changed:
        raise InputError(f"{path}: {_some(changed)} was changed after packing; get the package again.")
    contents = _read_json(path, files, PACKAGE_FILE)
    if not isinstance(contents, dict) or contents.get("schema") != SCHEMA:
        raise InputError(f"{path / PACKAGE_FILE} is not of the kind {SCHEMA}; use the Rojak that wrote it.")
    for name in contents["exports"]:
        record_name = f"{name}/{EXPORT_FILE}"
        if record_name not in files.names:
            raise InputError(f"{path} lacks the export {name}, which {PACKAGE_FILE} names; package the model again.")
        record = parse_export(_read_json(path, files, record_name), str(path / record_name))
        differing = [file for file, entry in record.files.items() if sums.get(f"{name}/{file}") != entry["sha256"]]
        if differing:
            raise InputError(f"{path / name}: {_some(differing)} is not what was exported; package the model again.")
        if record.source_sha256 != contents["source_sha256"]:
            raise InputError(f"{path / name} is an export of another model; package the model again.")
    return [str(warning) for warning in contents["warnings"]]


@contextmanager
def _open_folder(folder: Path) -> Iterator[_Files]:
    names = frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if not names:
        folder.stat()  # says what is wrong, if something is
    yield _Files(names, lambda name: sha256_of(folder / name), lambda name: (folder / name).read_bytes())


@contextmanager
def _open_tar(path: Path) -> Iterator[_Files]:
    """Read a tar as `rojak package` writes it: plain files in one folder."""
    with tarfile.open(path, "r:") as tar:
        members: dict[str, tarfile.TarInfo] = {}
        for member in tar.getmembers():
            parts = PurePosixPath(member.name).parts
            name = "/".join(parts[1:])
            if not member.isfile() or not name or ".." in parts or parts[0] == "/" or name in members:
                raise InputError(f"{path} holds {member.name}, which is no file of a package; get it again.")
            members[name] = member
        tops = {PurePosixPath(member.name).parts[0] for member in members.values()}
        if len(tops) > 1:
            raise InputError(f"{path} holds {len(tops)} folders and a package is one; get it again.")

        def chunks(name: str) -> Iterator[bytes]:
            file = tar.extractfile(members[name])
            assert file is not None
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

        def sha256(name: str) -> str:
            digest = hashlib.sha256()
            for chunk in chunks(name):
                digest.update(chunk)
            return digest.hexdigest()

        yield _Files(frozenset(members), sha256, lambda name: b"".join(chunks(name)))


def _read_sums(path: Path, files: _Files) -> dict[str, str]:
    sums = {}
    for number, line in enumerate(files.read(SUMS_FILE).decode("utf-8", errors="replace").splitlines(), start=1):
        digest, gap, name = line.partition("  ")
        place = PurePosixPath(name)
        if len(digest) != 64 or not gap or not name or place.is_absolute() or ".." in place.parts:
            raise InputError(
                f"{path / SUMS_FILE}: line {number} is not a checksum and a file of the package; get it again."
            )
        sums[name] = digest
    return sums


def _read_json(path: Path, files: _Files, name: str) -> Any:
    try:
        return json.loads(files.read(name))
    except ValueError as error:
        raise InputError(f"{path / name} is not JSON ({error}); get the package again.") from error


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
