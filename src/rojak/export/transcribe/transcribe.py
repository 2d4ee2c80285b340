"""`rojak transcribe`: recordings, folders and patterns in; text, JSON and subtitles out; continued where it stopped.

OUT/<name>.txt|json|srt|vtt|tsv        named as the recording, subfolders kept
OUT/transcribe.jsonl                   one line a recording done or failed; what is done is not done again
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rojak.errors import AudioError, InputError
from rojak.export.runtime import Device, Runtime
from rojak.export.transcribe.formats import FORMATS
from rojak.export.transcribe.listen import ListenOptions, listen
from rojak.export.transcribe.sound import Recording
from rojak.export.transcribe.transcript import SCHEMA, Transcript
from rojak.model.names import model_path
from rojak.runs import append_jsonl, explain_os_error, locked, read_jsonl, write_bytes

LOG_FILE = "transcribe.jsonl"

Result = tuple[Recording, Transcript | AudioError]


@dataclass(frozen=True)
class Opener:
    """A model that is opened when there is something to hear.

    Attributes:
        open: Opens it.
        mark: Changes when the model's files do; transcripts of another model are made anew.
    """

    open: Callable[[], Runtime]
    mark: str


def open_named(name: str, device: Device = "auto") -> Opener:
    """Give the opener of whatever `open_model` opens."""

    def open_it() -> Runtime:
        from rojak.export.runtime import open_model

        return open_model(name, device)

    folder = Path(model_path(name))
    folder = folder / "best" if (folder / "best").is_dir() else folder
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    marks = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return Opener(open_it, hashlib.blake2b("\n".join([name, *marks]).encode(), digest_size=16).hexdigest())


@dataclass(frozen=True)
class TranscribeSummary:
    """What became of the recordings; `failed` holds a sentence for each that could not be transcribed."""

    transcribed: int
    already_done: int
    failed: dict[str, str]
    audio_s: float


def transcribe_into(
    recordings: Sequence[Recording], opener: Opener, out_dir: Path, formats: Sequence[str], options: ListenOptions
) -> TranscribeSummary:
    """Write transcripts into a folder; run again, only what is new, changed or failed is done.

    Args:
        recordings: From `find_recordings`.
        opener: The model; not opened when nothing is left to do.
        out_dir: Made where it is missing.
        formats: Names out of `FORMATS`.
        options: How to hear.

    Raises:
        InputError: OUT cannot be written, or another process works there.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, out_dir) from error
    settings = f"{SCHEMA} {opener.mark} {json.dumps(asdict(options), sort_keys=True)}"
    with locked(out_dir):
        log = out_dir / LOG_FILE
        done = {row.get("output"): row.get("key") for row in read_jsonl(log) if row.get("status") == "done"}
        files = {r.stem: [out_dir / f"{r.stem}.{name}" for name in formats] for r in recordings}
        left = [
            r
            for r in recordings
            if done.get(r.stem) != _key(r, settings) or not all(path.is_file() for path in files[r.stem])
        ]
        failed: dict[str, str] = {}
        audio_s = 0.0
        if left:
            for recording, result in _with_progress(left, opener, options):
                row: dict[str, Any] = {"output": recording.stem, "audio": str(recording.path)}
                if isinstance(result, Transcript):
                    for name, path in zip(formats, files[recording.stem], strict=True):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write_bytes(path, FORMATS[name](result).encode())
                    audio_s += result.duration_s
                    append_jsonl(log, {**row, "status": "done", "key": _key(recording, settings)})
                else:
                    failed[str(recording.path)] = str(result)
                    append_jsonl(log, {**row, "status": "failed", "error": str(result)})
    return TranscribeSummary(len(left) - len(failed), len(recordings) - len(left), failed, audio_s)


def print_transcripts(
    recordings: Sequence[Recording], opener: Opener, options: ListenOptions, format_name: str
) -> dict[str, str]:
    """Print transcripts on standard output as they come; give a sentence for each recording that failed.

    One recording is printed as its file would be; several as lines of path, tab and text, or of JSON.
    """
    failed = {}
    for recording, result in _with_progress(recordings, opener, options):
        if not isinstance(result, Transcript):
            failed[str(recording.path)] = str(result)
        elif len(recordings) == 1:
            print(FORMATS[format_name](result), end="")  # noqa: T201
        elif format_name == "json":
            print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)  # noqa: T201
        else:
            print(f"{recording.path}\t{result.text}", flush=True)  # noqa: T201
    return failed


def raise_failures(failed: dict[str, str], count: int) -> None:
    """End with a sentence that names the recordings that failed, if any did.

    Raises:
        InputError: Some failed.
    """
    if failed:
        shown = " ".join(list(failed.values())[:3])
        more = f" And {len(failed) - 3} more." if len(failed) > 3 else ""
        raise InputError(f"{len(failed)} of {count} recordings could not be transcribed: {shown}{more}")


def _key(recording: Recording, settings: str) -> str:
    """Change when the recording's file or the settings do."""
    try:
        stat = recording.path.stat()
    except OSError:
        return ""
    mark = f"{recording.path.resolve()} {stat.st_size} {stat.st_mtime_ns} {settings}"
    return hashlib.blake2b(mark.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _with_progress(recordings: Sequence[Recording], opener: Opener, options: ListenOptions) -> Iterator[Result]:
    """Go through recordings with a bar of those done, the audio heard so far and its speed."""
    runtime = opener.open()
    with _bar(len(recordings)) as (advance, heard):
        for result in listen(recordings, runtime, options, on_progress=heard):
            advance()
            yield result


@contextmanager
def _bar(total: int) -> Iterator[tuple[Callable[[], None], Callable[[float], None]]]:
    console = Console(stderr=True)
    columns = (
        TextColumn("transcribe"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} recordings · {task.fields[heard]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("transcribe", total=total, heard="")
        seconds = 0.0

        def heard(more_s: float) -> None:
            nonlocal seconds
            seconds += more_s
            rate = seconds / max(progress.tasks[0].elapsed or 1e-3, 1e-3)
            progress.update(task, heard=f"{seconds / 60:.1f} min heard, {rate:.0f} × real time")

        yield (lambda: progress.advance(task)), heard
