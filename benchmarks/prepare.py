"""Measure `rojak prepare`: hours of sound in an hour of work, and the most memory it holds.

Makes synthetic corpora in a temporary folder and prepares each in a process of its own; prints Markdown.

    python benchmarks/prepare.py                   # 1 h, minutes
    python benchmarks/prepare.py --hours 20 40     # the whole claim: does memory grow with hours?

Each length is prepared as 16-kHz FLAC, as 16-kHz WAV and as 44.1-kHz stereo MP3 (`--kinds flac wav mp3`).
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

from rojak.data.synthesize import synthesize
from rojak.model.names import MICRO_DIR, MICRO_NAME

CHILD = """
import json, sys
from pathlib import Path
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.model.names import token_counter
if __name__ == "__main__":
    count = token_counter(sys.argv[3]) if len(sys.argv) > 3 else None
    settings = PrepareSettings(refuse_duplicates=False)  # the same sound may be listed again to make hours
    done = prepare(Path(sys.argv[1]), Path(sys.argv[2]), settings=settings, count_tokens=count)
    print(json.dumps([sum(done.clips.values()), done.audio_s, done.wall_s, sum(done.refused.values())]))
"""
KINDS = {"flac": "16-kHz FLAC", "wav": "16-kHz WAV", "mp3": "44.1-kHz stereo MP3"}
WANTED = {"flac": 150, "wav": 150, "mp3": 60}
WANTED_GB = 1.5


class Measured(NamedTuple):
    """One run: `peak_bytes` is that of the process and its workers together, `load` that of the machine before it."""

    clips: int
    audio_s: float
    wall_s: float
    refused: int
    peak_bytes: int
    cpu_s: float
    load: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--distinct-hours", type=float, help="take so many hours and repeat them under new ids; default: all distinct"
    )
    parser.add_argument("--corpus", type=Path, help="of `rojak synthesize`, instead of speaking one; repeated likewise")
    parser.add_argument("--work-dir", type=Path, help="folder for the corpora; default: the system's temporary one")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; label tokens counted: {_tokenizer() != []}.\n")
    print(
        "CPU is the time of all processes together: what is wall time on a busy machine is CPU ÷ cores on an idle one."
    )
    print("Load is the machine's before the run, 0 when it is idle.\n")
    print(
        "| corpus | distinct | clips | refused | load | wall | CPU | × real time (wall) | (CPU ÷ cores) | wanted ",
        end="",
    )
    print("| peak memory | wanted |\n|---|" + "---:|" * 11)
    missed = 0
    with tempfile.TemporaryDirectory(dir=args.work_dir) as temporary:
        work = Path(temporary)
        corpus = args.corpus or work / "corpus"
        if args.corpus is None:
            synthesize(corpus, min(max(args.hours), args.distinct_hours or 1e9), 11, show_progress=False)
        for kind in args.kinds:
            items = convert(corpus, work / kind, kind, args.distinct_hours)
            distinct = sum(item["duration"] for item in items) / 3600
            for hours in args.hours:
                repeat(items, work / kind, hours)
                missed += report(hours, kind, min(distinct, hours), measure(work / kind, work / "data"))
            shutil.rmtree(work / kind)
    sys.exit(1 if missed else 0)


def report(hours: float, kind: str, distinct: float, run: Measured) -> bool:
    """Print a row; say whether a target was missed."""
    speed, gigabytes = run.audio_s / run.wall_s, run.peak_bytes / 1e9
    cells = [
        f"{hours:g} h of {KINDS[kind]}",
        f"{distinct:.2g} h",
        f"{run.clips:,}",
        str(run.refused),
        f"{run.load:.1f}",
        f"{run.wall_s:.0f} s",
        f"{run.cpu_s:.0f} s",
        f"{speed:.0f}",
        f"{run.audio_s / run.cpu_s * (os.cpu_count() or 1):.0f}",
        f"≥ {WANTED[kind]}",
        f"{gigabytes:.2f} GB",
        f"< {WANTED_GB} GB",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    return speed < WANTED[kind] or gigabytes >= WANTED_GB


def measure(corpus: Path, out_dir: Path) -> Measured:
    """Prepare a corpus in a child and watch the memory of its whole family, ten times a second."""
    load = os.getloadavg()[0]
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(CHILD)
        script.flush()
        child = subprocess.Popen(
            [sys.executable, script.name, corpus, out_dir, *_tokenizer()], stdout=subprocess.PIPE, text=True
        )
        before, peak = resource.getrusage(resource.RUSAGE_CHILDREN), 0
        while child.poll() is None:
            peak = max(peak, sum(proportional_bytes(pid) for pid in family(child.pid)))
            time.sleep(0.1)
        assert child.stdout is not None
        if child.returncode:
            sys.exit(f"prepare ended with {child.returncode}")
        clips, audio_s, wall_s, refused = json.loads(child.stdout.read())
    shutil.rmtree(out_dir)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(clips, audio_s, wall_s, refused, peak, cpu_s, load)


def repeat(items: list[dict[str, Any]], folder: Path, hours: float) -> None:
    """List clips, again under new ids once all were listed, until they last so many hours."""
    listed, seconds = [], 0.0
    for number, item in enumerate(cycle(items)):
        if seconds >= hours * 3600:
            break
        listed.append({**item, "audio_id": f"clip-{number}"})
        seconds += item["duration"]
    (folder / "transcripts.json").write_text(json.dumps(listed), encoding="utf-8")


def _tokenizer() -> list[str]:
    return [MICRO_NAME] if (MICRO_DIR / "tokenizer.json").exists() else []


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))
    except OSError:
        return


def proportional_bytes(pid: int) -> int:
    """Resident memory of a process, a page shared by n processes counted as 1/n (what the machine really needs)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except OSError:
        return 0


def convert(corpus: Path, out: Path, kind: str, max_hours: float | None) -> list[dict[str, Any]]:
    """Write the recordings of a corpus, or its first hours, in another format; give their items."""
    (out / "audio").mkdir(parents=True)
    items: list[dict[str, Any]] = []
    jobs, seconds = [], 0.0
    for manifest in sorted(corpus.glob("*/transcripts.json")):
        for item in json.loads(manifest.read_text(encoding="utf-8")).values():
            if max_hours is not None and seconds >= max_hours * 3600:
                break
            seconds += item["duration"]
            source = manifest.parent / item["audio_filepath"]
            item["audio_filepath"] = f"audio/{source.stem}.{kind}"
            jobs.append((source, out / item["audio_filepath"]))
            items.append(item)
    with ProcessPoolExecutor() as executor:
        list(executor.map(_convert, *zip(*jobs, strict=True), chunksize=16))
    return items


def _convert(source: Path, target: Path) -> None:
    if target.suffix == source.suffix:
        shutil.copyfile(source, target)
        return
    samples, rate = soundfile.read(source, dtype="float32")
    if target.suffix == ".mp3":
        samples = soxr.resample(samples, rate, 44_100)
        samples, rate = np.stack([samples, samples], axis=1), 44_100
    soundfile.write(target, samples, rate)


if __name__ == "__main__":
    main()
