"""`prepare`: any corpus in, checked Parquet shards of 16 kHz FLAC + record out.

Reads a corpus through `sources`; writes OUT/data/*.parquet, OUT/quarantine.jsonl, OUT/stats.json, OUT/README.md.
Everything is written into a folder beside OUT and renamed when it is whole, so OUT is never half there.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rojak import __version__
from rojak.data.blocks import BLOCK_CLIPS, Block, BlockResult, make_blocks, run_blocks
from rojak.data.card import corpus_stats, count_reasons, dataset_card
from rojak.data.checks import check_num_tokens
from rojak.data.clips import Refusal
from rojak.data.outfolder import REFUSED_FILE, check_out_dir, put_in_place, work_folder
from rojak.data.settings import PrepareSettings
from rojak.data.shards import SCHEMA, ShardWriter
from rojak.data.sources import open_source
from rojak.data.split import assign_splits, find_duplicates
from rojak.data.survey import CountTokens, checked_items, survey
from rojak.errors import DataQualityError, InputError
from rojak.records import SPLITS, Split

TOLERATED_CLIPS = 2
"""So many bad clips never stop prepare (unless allow_bad is 0): in a corpus of ten, one is already a tenth."""


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
    source: str | Path,
    out_dir: Path,
    *,
    settings: PrepareSettings | None = None,
    workers: int | None = None,
    count_tokens: CountTokens | None = None,
    show_progress: bool = False,
) -> PrepareSummary:
    """Check a corpus, convert it to 16 kHz FLAC and write it as Parquet shards that training reads.

    Running it again with the same corpus and settings does nothing; a changed corpus or setting is prepared anew, and a
    note names the setting. After Ctrl-C or a crash the next run goes on where it stopped.

    Args:
        source: A folder, a manifest or `hf:OWNER/NAME`; see `rojak.data.sources` for the shapes.
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
    out_dir = out_dir.resolve()  # where a link points to, so that renaming works on the folder itself
    corpus = open_source(source, settings)
    check_out_dir(source, out_dir)
    surveyed = survey(corpus, settings, counts_tokens=count_tokens is not None)
    earlier = _read_stats(out_dir)
    if earlier and earlier["fingerprint"] == surveyed.fingerprint:
        return _summary(out_dir, earlier, unchanged=True)
    with work_folder(out_dir) as partial:
        # Where long recordings are cut, the tokens of the pieces count, and they are known later.
        items = checked_items(corpus.read(), None if settings.split_long else count_tokens, settings)
        blocks = make_blocks(items, partial / "blocks", settings)
        if workers is None:
            workers = min(os.cpu_count() or 1, -(-surveyed.num_items // BLOCK_CLIPS))
        results = _run(blocks, workers, f"prepare ({corpus.kind})", surveyed.num_items, show_progress)
        stats, refusals, splits = _judge(results, settings, count_tokens)
        _check_share(out_dir, refusals, stats["clips"] + len(refusals), settings)
        files = _write_shards(partial, results, splits)
        stats |= {
            "files": files,
            "kind": corpus.kind,
            "settings": settings.model_dump(mode="json"),
            "fingerprint": surveyed.fingerprint,
            "rojak_version": __version__,
        }
        _write_descriptions(partial, out_dir.name, stats, refusals)
        put_in_place(partial, out_dir)
    summary = _summary(out_dir, stats, unchanged=False)
    notes = _what_changed(earlier, stats) + summary.notes
    audio_s = sum(clip.duration for result in results if not result.resumed for clip in result.facts)
    return replace(summary, notes=notes, audio_s=audio_s, wall_s=time.monotonic() - started)


def _run(blocks: Iterator[Block], workers: int, title: str, num_items: int, show_progress: bool) -> list[BlockResult]:
    """Prepare all blocks under a progress bar."""
    results: list[BlockResult] = []
    started, audio_s, num_refused = time.monotonic(), 0.0, 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not show_progress) as bar:
        task = bar.add_task(title, total=num_items, rate="")
        for result in run_blocks(blocks, workers):
            results.append(result)
            num_refused += len(result.refusals)
            audio_s += 0 if result.resumed else sum(clip.duration for clip in result.facts)
            rate = audio_s / max(time.monotonic() - started, 1e-6)
            bar.update(task, advance=result.num_items, rate=f"{rate:.0f} × real time, {num_refused} refused")
    return results


def _judge(
    results: Sequence[BlockResult], settings: PrepareSettings, count_tokens: CountTokens | None
) -> tuple[dict[str, Any], list[Refusal], list[Split | None]]:
    """Decide what only the whole corpus shows: duplicates and splits, and the tokens of pieces.

    The split of a refused clip is None.
    """
    facts = [clip for result in results for clip in result.facts]
    faults = find_duplicates(facts) if settings.refuse_duplicates else {}
    if settings.split_long and count_tokens:
        for index, clip in enumerate(facts):
            if fault := check_num_tokens(count_tokens(clip.text), settings):
                faults[index] = fault
    refusals = [refusal for result in results for refusal in result.refusals]
    for index, fault in sorted(faults.items()):
        clip = facts[index]
        refusals.append(Refusal(clip.audio_id, clip.audio_filepath, fault.reason, fault.detail, clip.where))
    kept = [index not in faults for index in range(len(facts))]
    facts = list(compress(facts, kept))
    found, notes = assign_splits(
        facts, validation_share=settings.validation_share, test_share=settings.test_share, seed=settings.seed
    )
    stats = {**corpus_stats(facts, found), "refused": count_reasons(refusals), "notes": notes}
    unused = iter(found)
    return stats, refusals, [next(unused) if keep else None for keep in kept]


def _check_share(out_dir: Path, refusals: Sequence[Refusal], num_items: int, settings: PrepareSettings) -> None:
    """Stop when too many clips are bad, leaving the quarantine file for the user to read."""
    allowed = int(settings.allow_bad * num_items)
    if settings.allow_bad > 0:
        allowed = max(allowed, TOLERATED_CLIPS)
    if len(refusals) <= allowed and len(refusals) < num_items:
        return
    has_data = (out_dir / "stats.json").exists()
    path = out_dir / (REFUSED_FILE if has_data else "quarantine.jsonl")
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


def _write_shards(partial: Path, results: Sequence[BlockResult], splits: Sequence[Split | None]) -> dict[str, int]:
    """Deal the rows of the blocks out to the shards of their splits, in the order of the corpus.

    Returns:
        Name and bytes of every shard.
    """
    data_dir = partial / "data"
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir()
    writers = {split: ShardWriter(data_dir, split) for split in SPLITS}
    column = SCHEMA.get_field_index("split")
    position = 0
    for result in results:
        table = pq.read_table(result.path, schema=SCHEMA)
        chosen = splits[position : position + len(table)]
        position += len(table)
        table = table.set_column(column, SCHEMA.field(column), pa.array(chosen, pa.string()))
        for split, writer in writers.items():
            writer.append(table.filter(pa.array([found == split for found in chosen], pa.bool_())))
    paths = [path for writer in writers.values() for path in writer.close()]
    shutil.rmtree(partial / "blocks")
    return {path.name: path.stat().st_size for path in paths}


def _write_quarantine(path: Path, refusals: Sequence[Refusal]) -> None:
    lines = [json.dumps(asdict(refusal), ensure_ascii=False) + "\n" for refusal in refusals]
    path.write_text("".join(lines), encoding="utf-8")


def _write_descriptions(partial: Path, name: str, stats: dict[str, Any], refusals: Sequence[Refusal]) -> None:
    _write_quarantine(partial / "quarantine.jsonl", refusals)
    (partial / "README.md").write_text(dataset_card(name, stats), encoding="utf-8")
    text = json.dumps(stats, ensure_ascii=False, indent=1, sort_keys=True)
    (partial / "stats.json").write_text(text + "\n", encoding="utf-8")


def _read_stats(out_dir: Path) -> dict[str, Any] | None:
    """The stats of an earlier run, None when there was none or its shards are not whole."""
    try:
        stats = json.loads((out_dir / "stats.json").read_text(encoding="utf-8"))
        whole = all((out_dir / "data" / name).stat().st_size == size for name, size in stats["files"].items())
        return stats if whole and isinstance(stats["fingerprint"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_summary(out_dir: Path) -> PrepareSummary:
    """Sum up data that was prepared before.

    Raises:
        InputError: The folder is no prepared data, or not whole.
    """
    stats = _read_stats(out_dir)
    if stats is None:
        raise InputError(f"{out_dir}: is not prepared data, or a file of it is missing; prepare it again.")
    return _summary(out_dir, stats, unchanged=True)


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
