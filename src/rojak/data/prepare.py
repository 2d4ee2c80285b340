"""`prepare`: any corpus in, checked Parquet shards of 16 kHz FLAC + record out.

Reads a corpus through `sources`; writes OUT/data/*.parquet, OUT/quarantine.jsonl, OUT/stats.json, OUT/README.md.
Everything is written into a folder beside OUT and renamed when it is whole, so OUT is never half there.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rojak import __version__
from rojak.data.blocks import BlockResult, count_reasons, make_blocks, run_blocks
from rojak.data.card import corpus_stats, dataset_card
from rojak.data.checks import Fault, check_num_tokens
from rojak.data.clips import Refusal
from rojak.data.settings import PrepareSettings
from rojak.data.shards import SCHEMA, ShardWriter
from rojak.data.sources import Source, SourceItem, open_source
from rojak.data.split import assign_splits
from rojak.errors import DataQualityError, InputError, RojakError
from rojak.records import SPLITS, Split

FORMAT = 1
"""Raised when the same corpus and settings would give other shards than before."""

TOLERATED_CLIPS = 2
"""So many bad clips never stop prepare (unless allow_bad is 0): in a corpus of ten, one is already a tenth."""

OWN_FILES = ("data", "quarantine.jsonl", "stats.json", "README.md")

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class PrepareSummary:
    """What `prepare` did.

    Attributes:
        out_dir: The prepared data.
        kind: The shape of corpus that was recognised or forced.
        unchanged: True when everything was there already and nothing was done.
        clips: Clips by split.
        hours: Hours by split.
        refused: Refused clips by reason.
        notes: Sentences that the user should read.
        audio_s: Seconds of sound that were prepared in this run.
        wall_s: Seconds that it took.
    """

    out_dir: Path
    kind: str
    unchanged: bool
    clips: dict[str, int]
    hours: dict[str, float]
    refused: dict[str, int]
    notes: list[str] = field(default_factory=list)
    audio_s: float = 0.0
    wall_s: float = 0.0


def prepare(
    source: Path,
    out_dir: Path,
    *,
    settings: PrepareSettings | None = None,
    workers: int | None = None,
    count_tokens: CountTokens | None = None,
    show_progress: bool = False,
) -> PrepareSummary:
    """Check a corpus, convert it to 16 kHz FLAC and write it as Parquet shards that training reads.

    Running it again with the same corpus and settings does nothing; a changed corpus or setting is prepared anew, and a
    note names the setting.

    Args:
        source: A folder or manifest; see `rojak.data.sources` for the shapes.
        out_dir: A folder that does not exist, is empty, or was written by `prepare`.
        settings: Thresholds, split shares, columns.
        workers: Processes; by default one a core. 0 works in this process.
        count_tokens: Gives the label tokens of a transcript; without it that check is left out.
        show_progress: Draw a progress bar on stderr.

    Raises:
        InputError: The source or the output folder cannot be used.
        ManifestError: A transcript file is malformed.
        DataQualityError: More clips were refused than `allow_bad`; OUT/quarantine.jsonl says which and why.
    """
    started = time.monotonic()
    settings = settings or PrepareSettings()
    workers = (os.cpu_count() or 1) if workers is None else workers
    corpus = open_source(source, settings.kind, settings.columns)
    _check_out_dir(source, out_dir)
    survey = _survey(corpus, settings, count_tokens is not None)
    earlier = _read_stats(out_dir)
    if earlier and earlier["fingerprint"] == survey.fingerprint:
        return _summary(out_dir, earlier, unchanged=True)
    with _telling_disk_errors(out_dir), _partial_dir(out_dir) as partial:
        results, refusals = _run(corpus, partial, settings, workers, count_tokens, survey.num_items, show_progress)
        facts = [clip for result in results for clip in result.facts]
        _check_share(out_dir, refusals, survey.num_items, settings)
        splits, notes = assign_splits(
            facts, validation_share=settings.validation_share, test_share=settings.test_share, seed=settings.seed
        )
        _write_shards(partial, results, splits)
        stats: dict[str, Any] = {
            **corpus_stats(facts, splits),
            "refused": count_reasons(refusals),
            "notes": notes,
            "kind": corpus.kind,
            "settings": settings.model_dump(mode="json"),
            "fingerprint": survey.fingerprint,
            "rojak_version": __version__,
        }
        _write_descriptions(partial, out_dir.name, stats, refusals)
        _put_in_place(partial, out_dir)
    summary = _summary(out_dir, stats, unchanged=False)
    notes = _what_changed(earlier, stats) + summary.notes
    audio_s = sum(clip.duration for clip in facts)
    return replace(summary, notes=notes, audio_s=audio_s, wall_s=time.monotonic() - started)


@dataclass(frozen=True)
class _Survey:
    num_items: int
    fingerprint: dict[str, str]


def _survey(corpus: Source, settings: PrepareSettings, counts_tokens: bool) -> _Survey:
    """Go through the corpus once without opening a recording: count it and fingerprint fields, sizes and times.

    A recording replaced by another of equal size and modification time is not noticed.
    """
    digest = hashlib.blake2b(digest_size=16)
    num_items = 0
    for item in corpus.read():
        stat = item.audio.stat() if item.audio else None
        seen = [item.fields, item.fault and item.fault.reason, stat and [stat.st_size, stat.st_mtime_ns]]
        digest.update(json.dumps(seen, sort_keys=True, default=str).encode())
        num_items += 1
    if not num_items:
        raise InputError(f"{corpus.root}: no recordings in it (read as {corpus.kind}).")
    chosen = json.dumps([settings.model_dump(mode="json"), counts_tokens, FORMAT], sort_keys=True)
    return _Survey(
        num_items,
        {"inputs": digest.hexdigest(), "settings": hashlib.blake2b(chosen.encode(), digest_size=16).hexdigest()},
    )


def _run(
    corpus: Source,
    partial: Path,
    settings: PrepareSettings,
    workers: int,
    count_tokens: CountTokens | None,
    num_items: int,
    show_progress: bool,
) -> tuple[list[BlockResult], list[Refusal]]:
    blocks_dir = partial / "blocks"
    blocks_dir.mkdir()
    results: list[BlockResult] = []
    refusals: list[Refusal] = []
    items = _once_each(_tokens_counted(corpus.read(), count_tokens, settings))
    started, audio_s = time.monotonic(), 0.0
    with _progress_bar(show_progress) as bar:
        task = bar.add_task("prepare", total=num_items, rate="")
        for result in run_blocks(make_blocks(items, blocks_dir, settings), workers):
            results.append(result)
            refusals.extend(result.refusals)
            audio_s += sum(clip.duration for clip in result.facts)
            rate = audio_s / max(time.monotonic() - started, 1e-6)
            bar.update(task, advance=result.num_items, rate=f"{rate:.0f} × real time, {len(refusals)} refused")
    return results, refusals


def _progress_bar(show: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not show)


def _once_each(items: Iterator[SourceItem]) -> Iterator[SourceItem]:
    """Mark items whose audio_id was used before."""
    seen: set[str] = set()
    for item in items:
        audio_id = item.fields["audio_id"]
        if audio_id in seen and not item.fault:
            yield replace(item, fault=Fault("duplicate_id", f"The audio_id {audio_id!r} was used before."))
        else:
            yield item
        seen.add(audio_id)


def _tokens_counted(
    items: Iterator[SourceItem], count_tokens: CountTokens | None, settings: PrepareSettings
) -> Iterator[SourceItem]:
    """Mark items with too many label tokens; done here and not in the workers, which load no tokenizer."""
    for item in items:
        text = item.fields.get("text")
        if count_tokens and not item.fault and isinstance(text, str):
            yield replace(item, fault=check_num_tokens(count_tokens(text.strip()), settings))
        else:
            yield item


def _check_share(out_dir: Path, refusals: Sequence[Refusal], num_items: int, settings: PrepareSettings) -> None:
    """Stop when too many clips are bad, leaving the quarantine file for the user to read."""
    allowed = int(settings.allow_bad * num_items)
    if settings.allow_bad > 0:
        allowed = max(allowed, TOLERATED_CLIPS)
    if len(refusals) <= allowed and len(refusals) < num_items:
        return
    has_data = (out_dir / "stats.json").exists()
    path = out_dir / ("quarantine-refused.jsonl" if has_data else "quarantine.jsonl")
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_quarantine(path, refusals)
    reasons = ", ".join(f"{reason} {count}" for reason, count in count_reasons(refusals).items())
    share = len(refusals) / num_items
    if len(refusals) == num_items:
        raise DataQualityError(f"All {num_items} clips were refused ({reasons}); see {path}.")
    raise DataQualityError(
        f"{len(refusals)} of {num_items} clips ({share:.1%}) were refused ({reasons}), more than the allowed "
        f"{settings.allow_bad:.1%}; see {path}, mend the corpus, or go on without them: --allow-bad {_round_up(share)}."
    )


def _round_up(share: float) -> str:
    return f"{min(1.0, (int(share * 100) + 1) / 100):.2f}"


def _write_shards(partial: Path, results: Sequence[BlockResult], splits: Sequence[Split]) -> None:
    """Deal the rows of the blocks out to the shards of their splits, in the order of the corpus."""
    data_dir = partial / "data"
    data_dir.mkdir()
    writers = {split: ShardWriter(data_dir, split) for split in SPLITS}
    position = 0
    for result in results:
        table = pq.read_table(result.path, schema=SCHEMA)
        chosen = splits[position : position + len(table)]
        position += len(table)
        column = SCHEMA.get_field_index("split")
        table = table.set_column(column, SCHEMA.field(column), pa.array(chosen, pa.string()))
        for split, writer in writers.items():
            writer.append(table.filter(pa.array([found == split for found in chosen], pa.bool_())))
        result.path.unlink()
    for writer in writers.values():
        writer.close()
    (partial / "blocks").rmdir()


def _write_quarantine(path: Path, refusals: Sequence[Refusal]) -> None:
    lines = [json.dumps(asdict(refusal), ensure_ascii=False) + "\n" for refusal in refusals]
    path.write_text("".join(lines), encoding="utf-8")


def _write_descriptions(partial: Path, name: str, stats: dict[str, Any], refusals: Sequence[Refusal]) -> None:
    _write_quarantine(partial / "quarantine.jsonl", refusals)
    (partial / "README.md").write_text(dataset_card(name, stats), encoding="utf-8")
    text = json.dumps(stats, ensure_ascii=False, indent=1, sort_keys=True)
    (partial / "stats.json").write_text(text + "\n", encoding="utf-8")


def _read_stats(out_dir: Path) -> dict[str, Any] | None:
    """The stats of an earlier run, None when there was none or its data is not whole."""
    try:
        stats = json.loads((out_dir / "stats.json").read_text(encoding="utf-8"))
        wanted = {split for split in SPLITS if stats["splits"][split]["clips"]}
        there = {path.name.partition("-")[0] for path in (out_dir / "data").glob("*.parquet")}
        return stats if isinstance(stats["fingerprint"], dict) and wanted == there else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _what_changed(earlier: dict[str, Any] | None, stats: dict[str, Any]) -> list[str]:
    if not earlier:
        return []
    old, new = earlier.get("settings", {}), stats["settings"]
    changed = [f"{name} {old.get(name)} → {new[name]}" for name in new if old.get(name) != new[name]]
    if changed:
        return [f"Prepared anew because of changed settings: {', '.join(changed)}."]
    return ["Prepared anew because the corpus or Rojak changed."]


def _summary(out_dir: Path, stats: dict[str, Any], *, unchanged: bool) -> PrepareSummary:
    splits = stats["splits"]
    return PrepareSummary(
        out_dir=out_dir,
        kind=stats["kind"],
        unchanged=unchanged,
        clips={split: splits[split]["clips"] for split in SPLITS},
        hours={split: splits[split]["hours"] for split in SPLITS},
        refused=stats["refused"],
        notes=stats["notes"],
    )


def _check_out_dir(source: Path, out_dir: Path) -> None:
    """Make sure that nothing of the user's would be overwritten."""
    root = source.resolve()
    if root == out_dir.resolve() or root.is_relative_to(out_dir.resolve()):
        raise InputError(f"{out_dir}: holds the source itself; give another folder for the prepared data.")
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise InputError(f"{out_dir}: is a file; give a folder for the prepared data.")
    names = {path.name for path in out_dir.iterdir()}
    if names and "stats.json" not in names and names != {"quarantine.jsonl"}:
        raise InputError(f"{out_dir}: holds files that prepare did not write; give a new or empty folder.")


@contextmanager
def _partial_dir(out_dir: Path) -> Iterator[Path]:
    """A folder beside OUT to work in, locked against a second prepare and removed whatever happens."""
    partial = out_dir.parent / f".{out_dir.name}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{out_dir}: another rojak prepare is writing there; wait for it to end.") from None
        for left_over in partial.iterdir():
            shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    finally:
        os.close(lock)


def _put_in_place(partial: Path, out_dir: Path) -> None:
    """Make the new folder OUT; files that others put beside ours in the old one are kept."""
    if out_dir.exists():
        for path in out_dir.iterdir():
            if path.name not in OWN_FILES and path.name != "quarantine-refused.jsonl":
                path.rename(partial / path.name)
        old = partial.with_name(f".{out_dir.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        out_dir.rename(old)
        partial.rename(out_dir)
        shutil.rmtree(old)
    else:
        partial.rename(out_dir)


@contextmanager
def _telling_disk_errors(out_dir: Path) -> Iterator[None]:
    """Say what is wrong with the disk in a sentence; the partial folder is gone by then."""
    try:
        yield
    except OSError as error:
        code = error.errno
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RojakError(
                f"{out_dir}: the disk is full; free some space or give a folder on another disk."
            ) from None
        if code in (errno.EACCES, errno.EPERM, errno.EROFS):
            place = error.filename or out_dir
            raise InputError(f"{out_dir}: no permission to write ({place}); give a folder of your own.") from None
        raise RojakError(f"{out_dir}: writing failed ({error}); nothing was kept.") from None
