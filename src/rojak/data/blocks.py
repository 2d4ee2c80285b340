"""Prepare clips in blocks, in worker processes: each block becomes one Parquet file in the order of the corpus.

Reads recordings, writes `FOLDER/block-000000.parquet …`. Memory holds a few blocks, whatever the corpus's hours.
"""

import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

import pyarrow as pa

from rojak.data.clips import Clip, Refusal, prepare_clip
from rojak.data.settings import PrepareSettings
from rojak.data.shards import rows_to_table, write_table
from rojak.data.sources import SourceItem
from rojak.data.split import ClipFacts
from rojak.errors import RojakError

BLOCK_CLIPS = 32


@dataclass(frozen=True)
class Block:
    """A run of a corpus's items and the file that their clips go to."""

    path: Path
    items: tuple[SourceItem, ...]
    settings: PrepareSettings


@dataclass(frozen=True)
class BlockResult:
    """What became of a block: facts of its clips in order, and the refused ones."""

    path: Path
    facts: list[ClipFacts]
    refusals: list[Refusal]
    num_items: int


def make_blocks(items: Iterable[SourceItem], blocks_dir: Path, settings: PrepareSettings) -> Iterator[Block]:
    """Cut a stream of items into blocks of `BLOCK_CLIPS`."""
    stream = iter(items)
    number = 0
    while chunk := tuple(islice(stream, BLOCK_CLIPS)):
        yield Block(blocks_dir / f"block-{number:06d}.parquet", chunk, settings)
        number += 1


def prepare_block(block: Block) -> BlockResult:
    """Prepare every item of a block and write the good ones to its file."""
    clips: list[Clip] = []
    refusals: list[Refusal] = []
    for item in block.items:
        result = prepare_clip(item, block.settings)
        if isinstance(result, Clip):
            clips.append(result)
        else:
            refusals.append(result)
    write_table(rows_to_table(clips), block.path)
    return BlockResult(block.path, [_facts(clip) for clip in clips], refusals, len(block.items))


def _facts(clip: Clip) -> ClipFacts:
    r = clip.record
    return ClipFacts(r.audio_id, r.duration, r.speaker_id, r.language, r.quality_score, r.split, clip.sound_hash)


def run_blocks(blocks: Iterator[Block], workers: int) -> Iterator[BlockResult]:
    """Prepare blocks in `workers` processes (0: in this one) and give the results in order.

    At most three blocks a worker are under way, so a slow reader of the results does not fill the memory.

    Raises:
        RojakError: A worker died, which a decoder's crash or missing memory can cause.
    """
    if workers == 0:
        yield from map(prepare_block, blocks)
        return
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_set_up_worker)
    waiting: deque[tuple[Block, Future[BlockResult]]] = deque()
    try:
        for block in blocks:
            waiting.append((block, executor.submit(prepare_block, block)))
            if len(waiting) >= 3 * workers:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _result(block: Block, future: "Future[BlockResult]") -> BlockResult:
    try:
        return future.result()
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


def count_reasons(refusals: Iterable[Refusal]) -> dict[str, int]:
    """Count refusals by reason, most frequent first."""
    return dict(Counter(refusal.reason for refusal in refusals).most_common())
