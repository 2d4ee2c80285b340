"""Files and folders that survive a crash: atomic writes, folders made whole or not at all, JSON Lines logs, locks.

Reads and writes JSON and JSON Lines; knows nothing of speech. A run directory holds

    config.yaml            what was asked for        log.jsonl         one line an event, the truth
    checkpoints/step-*/    what can be continued     best/             the model that won
    tensorboard/           curves                    LOCK              held while a process works here
"""

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rojak.errors import InputError


def explain_os_error(error: Exception, path: Path) -> InputError:
    """Turn an operating-system error about `path` into a sentence with a remedy.

    safetensors (in Rust) and `shutil.copytree` raise errors of their own, which tell the system's number in their text.
    """
    told = re.search(r"(?:os error |Errno )(\d+)", str(error))
    number = getattr(error, "errno", None) or (int(told[1]) if told else 0)
    reasons = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EFBIG: "the file would be larger than the file system or `ulimit -f` allows; choose another folder",
        errno.EACCES: "there is no permission; choose another folder or change its rights",
        errno.EPERM: "there is no permission; choose another folder or change its rights",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.ENOENT: "it does not exist; check the spelling of the path",
        errno.ENOTDIR: "a part of the path is a file, not a folder; check the path",
        errno.EISDIR: "it is a folder where a file is expected; check the path",
    }
    return InputError(f"Cannot use {path}: {reasons.get(number, os.strerror(number) if number else str(error))}.")


def sync_directory(path: Path) -> None:
    """Make renames inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises:
        InputError: No space, no permission; the old file stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explain_os_error(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; non-ASCII text stays readable."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: The file is missing or malformed; names line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None


def append_jsonl(path: Path, value: dict[str, Any]) -> None:
    """Append one line to a JSON Lines file in a single write; a last line that a crash cut short goes first.

    Raises:
        InputError: No space or no permission.
    """
    try:
        with path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if size and file.read(1) != b"\n":
                file.truncate(path.read_bytes().rfind(b"\n") + 1)
            file.write((json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8", errors="replace"))
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines log; a last line cut short by a crash is left out."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = text.removesuffix("\n").split("\n") if text else []  # transcripts may hold other kinds of line ends
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number == len(lines):
                break
            raise InputError(
                f"{path} is not valid JSON Lines at line {number}; the log was edited or damaged."
            ) from None
    return rows


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` that becomes `path` when the block ends well and vanishes otherwise.

    Raises:
        InputError: `path` exists and is not an empty folder, or the place cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists and is not empty; choose another folder or remove it first.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        temporary.chmod(0o755)
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the run directory for this process; the lock goes with the process, however it ends.

    Raises:
        InputError: Another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "LOCK").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{directory} is in use by another rojak process; wait for it to end or choose another output_dir."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {time.strftime('%Y-%m-%dT%H:%M:%S')}\n")
        file.flush()
        yield
