"""One process of a benchmark: one program, one model, one number of threads; so that memory and threads are its own.

python -m rojak.export.bench.worker JOB.json CLIPS.npz RESULT.json
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import RojakError
from rojak.export.bench.systems import SYSTEMS, Job


@dataclass(frozen=True)
class Timing:
    """One set of clips at one batch size: seconds of every call, of sound, and of all cores; what was heard."""

    length_s: float
    batch: int
    audio_s: float
    wall_s: float
    cpu_s: float
    calls_s: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class WorkerResult:
    """What a process gives back; `refused` holds the reason where the program cannot run the model."""

    timings: tuple[Timing, ...]
    load_s: float = 0.0
    peak_mib: float | None = None
    device: str = "cpu"
    refused: str | None = None


def run_job(job: Job, sets: dict[float, list[Samples]]) -> WorkerResult:
    """Load the model, hear a clip to warm up, and time every set at every batch size."""
    import torch

    torch.set_num_threads(job.num_threads)
    started = time.perf_counter()
    try:
        hear = SYSTEMS[job.system](job)
    except RojakError as error:
        return WorkerResult((), refused=str(error))
    load_s = time.perf_counter() - started
    timings = []
    for length_s in job.lengths_s:
        clips = sets[length_s]
        hear(clips[:1], 1)
        for batch in job.batches:
            if batch > len(clips) and all(len(clip) <= 30 * SAMPLE_RATE for clip in clips):
                continue  # there would be nothing to batch
            timings.append(_time_set(hear, length_s, clips, batch))
    return WorkerResult(tuple(timings), load_s, _peak_mib(), "cuda" if torch.cuda.is_available() else "cpu")


def _peak_mib() -> float | None:
    """Give the largest resident memory of this process; None where the system does not tell.

    `getrusage` would tell that of the parent, which a forked process takes over until it runs its own program.
    """
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def _time_set(hear: Any, length_s: float, clips: Sequence[Samples], batch: int) -> Timing:
    calls_s, texts, cpu_begun = [], list[str](), time.process_time()
    for start in range(0, len(clips), batch):
        begun = time.perf_counter()
        texts += hear(clips[start : start + batch], batch)
        calls_s.append(time.perf_counter() - begun)
    cpu_s = time.process_time() - cpu_begun
    audio_s = sum(len(clip) for clip in clips) / SAMPLE_RATE
    return Timing(length_s, batch, audio_s, sum(calls_s), cpu_s, tuple(calls_s), tuple(texts))


def read_result(path: Path) -> WorkerResult:
    """Read what a worker wrote."""
    values = json.loads(path.read_text(encoding="utf-8"))
    rows = (dict(row) for row in values.pop("timings"))
    timings = tuple(Timing(**{**row, "calls_s": tuple(row["calls_s"]), "texts": tuple(row["texts"])}) for row in rows)
    return WorkerResult(timings=timings, **values)


def main() -> None:
    """Run the job of the first file on the clips of the second; write the third."""
    job_path, clips_path, result_path = map(Path, sys.argv[1:4])
    values = json.loads(job_path.read_text(encoding="utf-8"))
    job = Job(**{**values, "lengths_s": tuple(values["lengths_s"]), "batches": tuple(values["batches"])})
    sets: dict[float, list[Samples]] = {length_s: [] for length_s in job.lengths_s}
    with np.load(clips_path, allow_pickle=False) as clips:
        for name in clips.files:
            sets[float(name.split("_")[0])].append(clips[name])
    result = run_job(job, sets)
    result_path.write_text(json.dumps(asdict(result), ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main()
