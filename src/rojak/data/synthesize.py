"""Make a corpus of Malaysian speech with exact labels, offline: `rojak synthesize`.

Sentences come from a grammar (`sentences.py`, `switching.py`), voices from libespeak-ng (`espeak.py`, `speakers.py`),
noise from `noise.py`. Writes, in the layout that `prepare` reads:

    OUT/{train,validation,test}/transcripts.json      object of id -> item
    OUT/<split>/audio/<id>.flac                       16 kHz mono
    OUT/synthesis.json                                what was asked for and the versions that made it

The same settings and seed give the same bytes, whatever the number of workers: the plan comes first
(`synthesis_plan.py`), and its blocks of fixed size are each spoken in a fresh process (`render.py`). Speakers and
sentences of the splits are disjoint, and stay so across corpora of other seeds. Everything goes to a folder beside OUT
that is renamed when whole.

libespeak-ng is GPL-3 and loaded at run time only to make speech; wordfreq's lists are CC BY-SA 4.0.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import rojak
from rojak.data.sentences import RESOURCES_DIR
from rojak.data.synthesis_plan import BLOCK_SIZE, PlannedUtterance, Settings, build_block, check_settings, plan_split
from rojak.errors import ConfigError, InputError, RojakError
from rojak.records import SPLITS, Split, Utterance, Word, quality_from_snr


@dataclass(frozen=True)
class SynthesisSummary:
    """What was made: utterances and hours by split, speakers, seconds spent; `already_there` when nothing had to be."""

    out_dir: Path
    num_utterances: dict[str, int]
    hours: dict[str, float]
    num_speakers: int
    elapsed_s: float
    already_there: bool = False

    @property
    def real_time_factor(self) -> float:
        """Seconds of speech made in a second."""
        return sum(self.hours.values()) * 3600 / max(self.elapsed_s, 1e-9)


def synthesize(
    out_dir: Path,
    hours: float,
    seed: int,
    *,
    settings: Settings | None = None,
    workers: int | None = None,
    show_progress: bool = True,
) -> SynthesisSummary:
    """Make about `hours` of speech (within some percent) in `out_dir`.

    Args:
        out_dir: New or empty folder, or one that holds this very corpus already (then nothing is done).
        hours: Hours of all splits together: 80 % train, 8 % validation, 12 % test.
        seed: Whole number from 0; same seed and settings, same bytes.
        settings: Kind of corpus; the default is the mix that fine-tuning wants.
        workers: Processes at a time; all cores by default. Does not change the result.
        show_progress: Draw a bar with rate and time left on stderr.

    Raises:
        ConfigError: A setting is out of range.
        InputError: `out_dir` holds something else, or cannot be written.
    """
    settings = settings or Settings()
    check_settings(hours, seed, settings)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1.")
    wanted = _describe(hours, seed, settings)
    out_dir = Path(out_dir)
    started = time.perf_counter()
    plan = {split: plan_split(split, hours, seed, settings) for split in SPLITS}
    try:
        if _holds_corpus(out_dir, wanted):
            return _summarise_existing(out_dir)
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        partial_dir = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.partial-", dir=out_dir.parent))
    except OSError as error:
        raise _unwritable(out_dir, error.strerror or str(error)) from None
    try:
        blocks = _lay_out(plan, partial_dir, seed, settings)
        answers = _render(blocks, workers or _num_cores(), show_progress)
        _write_corpus(plan, answers, partial_dir, wanted)
        partial_dir.chmod(0o755)  # mkdtemp makes it private
        if out_dir.exists():
            out_dir.rmdir()
        partial_dir.rename(out_dir)
    except OSError as error:
        raise _unwritable(out_dir, error.strerror or str(error)) from None
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
    return SynthesisSummary(
        out_dir,
        {split: len(items) for split, items in plan.items()},
        {split: sum(answers[item.audio_id]["duration"] for item in items) / 3600 for split, items in plan.items()},
        len({item.speaker.speaker_id for items in plan.values() for item in items}),
        time.perf_counter() - started,
    )


def _lay_out(
    plan: dict[Split, list[PlannedUtterance]], partial_dir: Path, seed: int, settings: Settings
) -> list[dict[str, Any]]:
    """Make the folders of the splits and cut the plan into blocks."""
    blocks = []
    for split, items in plan.items():
        audio_dir = partial_dir / split / "audio"
        audio_dir.mkdir(parents=True)
        for start in range(0, len(items), BLOCK_SIZE):
            blocks.append(build_block(items, start, audio_dir, seed, settings.num_speakers))
    return blocks


def _render(blocks: Sequence[dict[str, Any]], workers: int, show_progress: bool) -> dict[str, dict[str, Any]]:
    """Speak blocks, each in a process of its own; gives audio_id -> answer of `render_block`."""
    answers: dict[str, dict[str, Any]] = {}
    bar = Progress(
        TextColumn("synthesize"), BarColumn(), TextColumn("{task.completed}/{task.total} clips · {task.fields[rate]}"),
        TimeRemainingColumn(), console=Console(stderr=True), disable=not show_progress,
    )  # fmt: skip
    with bar, ThreadPoolExecutor(workers) as pool:
        task = bar.add_task("", total=sum(len(block["items"]) for block in blocks), rate="")
        started, made_s = time.perf_counter(), 0.0
        pending: set[Future[list[dict[str, Any]]]] = {pool.submit(_run_block, block) for block in blocks}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for answer in (answer for future in done for answer in future.result()):
                    answers[answer["audio_id"]] = answer
                    made_s += answer["duration"]
                rate = f"{made_s / (time.perf_counter() - started):.0f} × real time"
                bar.update(task, completed=len(answers), rate=rate)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return answers


def _run_block(block: dict[str, Any]) -> list[dict[str, Any]]:
    source_dir = str(Path(rojak.__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source_dir, os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, "-m", "rojak.data.render"],
        input=json.dumps(block), capture_output=True, text=True, encoding="utf-8", env=environment, check=False,
    )  # fmt: skip
    if ran.returncode == 3:
        raise OSError(ran.stderr.strip())
    if ran.returncode != 0:
        last_line = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise RojakError(f"A speaking process ended with code {ran.returncode} ({last_line}); run the command again.")
    answers: list[dict[str, Any]] = json.loads(ran.stdout)
    return answers


def _write_corpus(
    plan: dict[Split, list[PlannedUtterance]],
    answers: dict[str, dict[str, Any]],
    partial_dir: Path,
    wanted: dict[str, Any],
) -> None:
    """Write the transcripts of each split and, last, the description of the whole."""
    for split, items in plan.items():
        lines = (
            f'"{item.audio_id}": {json.dumps(_to_record(item, answers[item.audio_id], split), ensure_ascii=False)}'
            for item in items
        )
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        (partial_dir / split / "transcripts.json").write_text(text, encoding="utf-8")
    text = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    (partial_dir / "synthesis.json").write_text(text, encoding="utf-8")


def _to_record(item: PlannedUtterance, answer: dict[str, Any], split: Split) -> dict[str, Any]:
    """Give the record of an utterance, as `prepare` reads it."""
    record = Utterance(
        audio_id=item.audio_id,
        audio_filepath=f"audio/{item.audio_id}.flac",
        text=item.sentence.text,
        duration=answer["duration"],
        speaker_id=item.speaker.speaker_id,
        language=item.sentence.language,
        words=tuple(
            Word(word=word, language=language, start=start, end=end)
            for (word, language), (start, end) in zip(item.sentence.words, answer["times"], strict=True)
        ),
        code_switches=item.sentence.code_switches,
        quality_score=5 if item.snr_db is None else quality_from_snr(item.snr_db),
        snr_db=item.snr_db,
        added_snr_db=item.snr_db,
        accent="synthetic",
        domain=item.sentence.topic,
        recording_environment=item.environment or "clean",
        source="rojak-synthetic",
        split=split,
    )
    fields = record.to_dict()
    del fields["audio_id"]  # the key of the item
    return fields


def _describe(hours: float, seed: int, settings: Settings) -> dict[str, Any]:
    """Say what decides the bytes of a corpus."""
    resources = b"".join(path.read_bytes() for path in sorted(RESOURCES_DIR.iterdir()))
    versions = {name: version(name) for name in ("espeakng-loader", "numpy", "soundfile", "soxr")}
    return {
        "hours": float(hours), "seed": seed, "settings": asdict(settings), "block_size": BLOCK_SIZE,
        "resources_sha256": hashlib.sha256(resources).hexdigest(),
        "versions": {"rojak": rojak.__version__, **versions},
    }  # fmt: skip


def _holds_corpus(out_dir: Path, wanted: dict[str, Any]) -> bool:
    """Tell whether a folder holds the corpus asked for; False when it is missing or empty.

    Raises:
        InputError: It holds anything else.
    """
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return False
    if not out_dir.exists():
        return False
    try:
        if json.loads((out_dir / "synthesis.json").read_text(encoding="utf-8")) == wanted:
            return True
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputError(f"{out_dir} is there already and holds no synthesis; name a new or empty folder.") from None
    raise InputError(
        f"{out_dir} holds a synthesis with another length, seed, settings or versions (see its synthesis.json); "
        "name a new folder or delete this one."
    )


def _summarise_existing(out_dir: Path) -> SynthesisSummary:
    """Read what an earlier run made."""
    corpora = {
        split: json.loads((out_dir / split / "transcripts.json").read_text(encoding="utf-8")) for split in SPLITS
    }
    return SynthesisSummary(
        out_dir,
        {split: len(items) for split, items in corpora.items()},
        {split: sum(item["duration"] for item in items.values()) / 3600 for split, items in corpora.items()},
        len({item["speaker_id"] for items in corpora.values() for item in items.values()}),
        elapsed_s=0.0,
        already_there=True,
    )


def _unwritable(out_dir: Path, reason: str) -> InputError:
    return InputError(
        f"{out_dir} cannot be written: {reason}; nothing was left there, choose another place or make room."
    )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
