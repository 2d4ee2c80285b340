"""The folder that `prepare` writes: worked on beside its place, locked, and put there whole.

OUT                  what training trusts
.OUT.partial         work in progress; left behind by Ctrl-C or a crash, and then continued by the next run
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rojak.errors import InputError
from rojak.runs import explain_os_error, sync_directory

REFUSED_FILE = "quarantine-refused.jsonl"
"""The quarantine of a run that stopped, beside the data of an earlier run that did not."""

OWN_NAMES = frozenset({"data", "quarantine.jsonl", "stats.json", "README.md", "inspect.html", REFUSED_FILE})


def check_out_dir(source: str | Path, out_dir: Path) -> None:
    """Make sure that nothing of the user's would be overwritten.

    Raises:
        InputError: OUT holds the source, lies in it, holds files that `prepare` did not write, or is no folder.
    """
    root, out = Path(source).resolve(), out_dir.resolve()
    if root.is_relative_to(out):
        raise InputError(f"{out_dir}: holds the source itself; give another folder for the prepared data.")
    if root.is_dir() and out.is_relative_to(root):
        raise InputError(
            f"{out_dir}: lies in the corpus, where the next prepare would take it for recordings; "
            "give a folder beside the corpus."
        )
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out_dir}: is a file; give a folder for the prepared data.")
    names = {path.name for path in out.iterdir()}
    if names and "stats.json" not in names and names != {"quarantine.jsonl"}:
        raise InputError(f"{out_dir}: holds files that prepare did not write; give a new or empty folder.")


@contextmanager
def work_folder(out_dir: Path) -> Iterator[Path]:
    """Give a folder beside OUT to work in, locked against a second `prepare`.

    It vanishes when the block ends well or cannot be done, and stays after Ctrl-C, a crash, or too many bad clips: what
    is done need not be done again.

    Raises:
        InputError: Another `prepare` works there, or the disk is full or not writable.
    """
    partial = out_dir.parent / f".{out_dir.name}.partial"
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise explain_os_error(error, out_dir) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{out_dir}: another rojak prepare is writing there; wait for it to end.") from None
        try:
            yield partial
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise explain_os_error(error, out_dir) from None
        except InputError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def put_in_place(partial: Path, out_dir: Path) -> None:
    """Make the new folder OUT; files that others put beside ours in the old one are kept."""
    if not out_dir.exists():
        partial.rename(out_dir)
    else:
        old = partial.with_name(f".{out_dir.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        out_dir.rename(old)
        partial.rename(out_dir)
        for path in old.iterdir():
            if path.name not in OWN_NAMES:
                path.rename(out_dir / path.name)
        shutil.rmtree(old)
    sync_directory(out_dir.parent)
