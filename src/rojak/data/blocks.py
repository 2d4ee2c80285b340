"""Prepare clips in blocks, in worker processes: each block becomes one Parquet file in the order of the corpus.

Reads recordings, writes `FOLDER/block-000000.parquet …`. Memory holds a few blocks, whatever the corpus's hours.
"""

import hashlib
import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any

import pyarrow as pa

from rojak.data.clips import Clip, Refusal, prepare_clip
from rojak.data.items import SourceItem
from rojak.data.settings import PrepareSettings
from rojak.data.shards import rows_to_table, write_table
from rojak.data.split import ClipFacts
from rojak.data.survey import FORMAT, item_mark
from rojak.errors import RojakError
from rojak.runs import write_bytes
from rojak.text.normalize import normalize

BLOCK_CLIPS = 32


@dataclass(frozen=True)
class Block:
    """A run of a corpus's items, the file that their clips go to, and a hash of all that the file depends on."""

    path: Path
    items: tuple[SourceItem, ...]
    settings: PrepareSettings
    key: str


@dataclass(frozen=True)
class BlockResult:
    """What became of a block: facts of its clips in order, and the refused ones; `resumed` from an earlier run."""

    path: Path
    facts: list[ClipFacts]
    refusals: list[Refusal]
    num_items: int
    resumed: bool = False


def make_blocks(items: Iterable[SourceItem], blocks_dir: Path, settings: PrepareSettings) -> Iterator[Block]:
    """Cut a stream of items into blocks of `BLOCK_CLIPS`."""
    blocks_dir.mkdir(exist_ok=True)
    stream = iter(items)
    number = 0
    while chunk := tuple(islice(stream, BLOCK_CLIPS)):
        decisive = settings.model_dump_json(exclude={"allow_bad"})
        key = hashlib.blake2b(f"{FORMAT} {decisive}".encode(), digest_size=16)
        for item in chunk:
            key.update(item_mark(item))
        yield Block(blocks_dir / f"block-{number:06d}.parquet", chunk, settings, key.hexdigest())
        number += 1


def prepare_block(block: Block) -> BlockResult:
    """Prepare every item of a block, write the good ones to its file and then the result beside it."""
    clips: list[Clip] = []
    refusals: list[Refusal] = []
    for item in block.items:
        for result in prepare_clip(item, block.settings):
            if isinstance(result, Clip):
                clips.append(result)
            else:
                refusals.append(result)
    write_table(rows_to_table(clips), block.path)
    done = BlockResult(block.path, [_facts(clip, block.settings) for clip in clips], refusals, len(block.items))
    _write_result(block, done)
    return done


def _write_result(block: Block, result: BlockResult) -> None:
    note = {
        "key": block.key,
        "bytes": block.path.stat().st_size,
        "facts": [
            {**asdict(f), "sound_hash": f.sound_hash.hex(), "sentence_hash": f.sentence_hash.hex()}
            for f in result.facts
        ],
        "refusals": [asdict(refusal) for refusal in result.refusals],
    }
    write_bytes(block.path.with_suffix(".json"), json.dumps(note).encode())


def _read_result(block: Block) -> BlockResult | None:
    """Give what an interrupted run left of this very block, None when there is nothing or it is not whole."""
    try:
        note = json.loads(block.path.with_suffix(".json").read_bytes())
        if note["key"] != block.key or note["bytes"] != block.path.stat().st_size:
            return None
        facts = []
        for fields in note["facts"]:
            hashes: dict[str, Any] = {name: bytes.fromhex(fields.pop(name)) for name in ("sound_hash", "sentence_hash")}
            facts.append(ClipFacts(**fields, **hashes))
        refusals = [Refusal(**fields) for fields in note["refusals"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return BlockResult(block.path, facts, refusals, len(block.items), resumed=True)


def _facts(clip: Clip, settings: PrepareSettings) -> ClipFacts:
    record = clip.record
    extra = record.model_extra or {}
    sentence = hashlib.blake2b(normalize(record.text).encode(), digest_size=8).digest()
    return ClipFacts(
        audio_id=record.audio_id,
        duration=record.duration,
        speaker_id=record.speaker_id,
        cut_from=clip.cut_from,
        language=record.language,
        quality_score=record.quality_score,
        split=record.split,
        is_mixed=bool(extra.get("cmi")),
        has_particles=bool(extra.get("particles")),
        sound_hash=clip.sound_hash,
        sentence_hash=sentence,
        audio_filepath=record.audio_filepath,
        where=clip.where,
        text=record.text if settings.split_long else "",
    )


def run_blocks(blocks: Iterator[Block], workers: int) -> Iterator[BlockResult]:
    """Prepare blocks in `workers` processes (0: in this one) and give the results in order.

    At most three blocks a worker are under way, so a slow reader of the results does not fill the memory.

    Raises:
        RojakError: A worker died, which a decoder's crash or missing memory can cause.
    """
    if workers == 0:
        for block in blocks:
            yield _read_result(block) or prepare_block(block)
        return
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_set_up_worker)
    waiting: deque[tuple[Block, BlockResult | Future[BlockResult]]] = deque()
    try:
        for block in blocks:
            waiting.append((block, _read_result(block) or _submit(executor, block)))
            if len(waiting) >= 3 * workers:
                yield _wait_for(*waiting.popleft())
        while waiting:
            yield _wait_for(*waiting.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _submit(executor: ProcessPoolExecutor, block: Block) -> Future[BlockResult]:
    """Hand a block over; Ctrl-C waits meanwhile, and the process that starts hears none until it ignores it."""
    resource_tracker.ensure_running()  # starting it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return executor.submit(prepare_block, block)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for(block: Block, result: "BlockResult | Future[BlockResult]") -> BlockResult:
    if isinstance(result, BlockResult):
        return result
    try:
        return result.result()
    except BrokenProcessPool:
        first, last = block.items[0].where, block.items[-1].where
        raise RojakError(
            f"A worker process died near {first} … {last}: a decoder crashed or memory ran out; "
            "try again with fewer workers, and if it happens again take these recordings out one by one."
        ) from None


def _set_up_worker() -> None:
    """Leave Ctrl-C to the parent, end with it, use one thread, and keep libmpg123's remarks off the progress bar."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: object) -> None:
    parent.join()  # type: ignore[attr-defined]
    os._exit(1)
