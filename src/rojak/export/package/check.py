"""`rojak package --check DIR`: tells whether a package is whole and unchanged.

Reads a package; writes nothing.
"""

from pathlib import Path, PurePosixPath

from rojak.errors import InputError
from rojak.export.folder import EXPORT_FILE, read_export, sha256_of
from rojak.export.package.card import EXAMPLE_WAV
from rojak.export.package.package import PACKAGE_FILE, SCHEMA, SUMS_FILE
from rojak.runs import explain_os_error, read_json

NEEDED = ("README.md", "LICENCES.md", PACKAGE_FILE, EXAMPLE_WAV)


def check_package(folder: Path) -> list[str]:
    """Check every file of a package against its checksum and every export against its record.

    Returns:
        The warnings that the package was made with.

    Raises:
        InputError: Not a package, or something in it is missing, changed or added; names what.
    """
    sums = _read_sums(folder)
    missing = [name for name in (*NEEDED, *sums) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} lacks {_some(missing)}; get the package again.")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    added = sorted(there - set(sums) - {SUMS_FILE})
    if added:
        raise InputError(f"{folder} holds {_some(added)}, which the package does not; remove it or get it again.")
    changed = [name for name, digest in sums.items() if sha256_of(folder / name) != digest]
    if changed:
        raise InputError(f"{folder}: {_some(changed)} was changed after packing; get the package again.")
    contents = read_json(folder / PACKAGE_FILE)
    if not isinstance(contents, dict) or contents.get("schema") != SCHEMA:
        raise InputError(f"{folder / PACKAGE_FILE} is not of the kind {SCHEMA}; use the Rojak that wrote it.")
    for name in contents["exports"]:
        if not (folder / name / EXPORT_FILE).is_file():
            raise InputError(f"{folder} lacks the export {name}, which {PACKAGE_FILE} names; package the model again.")
        record = read_export(folder / name)
        if record.source_sha256 != contents["source_sha256"]:
            raise InputError(f"{folder / name} is an export of another model; package the model again.")
    return [str(warning) for warning in contents["warnings"]]


def _read_sums(folder: Path) -> dict[str, str]:
    path = folder / SUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        if folder.is_dir() and not path.exists():
            raise InputError(f"{folder} is no package: it has no {SUMS_FILE}; make one with `rojak package`.") from None
        raise explain_os_error(error, folder) from error
    sums = {}
    for number, line in enumerate(lines, start=1):
        digest, gap, name = line.partition("  ")
        place = PurePosixPath(name)
        if len(digest) != 64 or not gap or not name or place.is_absolute() or ".." in place.parts:
            raise InputError(f"{path}: line {number} is not a checksum and a file of the package; get it again.")
        sums[name] = digest
    return sums


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
