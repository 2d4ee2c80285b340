"""Measure `rojak prepare`: hours of sound in an hour of work, and the most memory it holds.

Makes synthetic corpora in a temporary folder and prepares each in a process of its own; prints Markdown.

    python benchmarks/prepare.py                   # 1 h, minutes
    python benchmarks/prepare.py --hours 20 40     # the whole claim: does memory grow with hours?

The first corpus, or `--convert-hours` of it, is prepared once more as 16-kHz WAV and as 44.1-kHz stereo MP3.
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
from pathlib import Path
from typing import NamedTuple

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
WANTED = {"16 kHz FLAC": 150, "16 kHz WAV": 150, "44.1 kHz stereo MP3": 60}
WANTED_GB = 1.5


class Measured(NamedTuple):
    """One run: `peak_bytes` is that of the process and its workers together."""

    clips: int
    audio_s: float
    wall_s: float
    refused: int
    peak_bytes: int
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0])
    parser.add_argument(
        "--distinct-hours", type=float, help="speak so many hours and repeat them under new ids; default: all distinct"
    )
    parser.add_argument("--convert-hours", type=float, default=0.5)
    parser.add_argument("--work-dir", type=Path, help="folder for the corpora; default: the system's temporary one")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; tokens counted: {_tokenizer() != []}.\n")
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}. CPU is the time of all processes together: what is")
    print("wall time on a busy machine is CPU ÷ cores on an idle one.\n")
    print(
        "| corpus | clips | refused | wall | CPU | × real time (wall) | (CPU ÷ cores) | wanted | peak memory | wanted |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    missed = 0
    with tempfile.TemporaryDirectory(dir=args.work_dir) as temporary:
        work = Path(temporary)
        for number, hours in enumerate(args.hours):
            corpus = work / "corpus"
            synthesize(corpus, min(hours, args.distinct_hours or hours), 11, show_progress=False)
            repeat(corpus, hours)
            missed += report(f"{hours:g} h", "16 kHz FLAC", measure(corpus, work / "data"))
            if number == 0:
                for kind in ("16 kHz WAV", "44.1 kHz stereo MP3"):
                    converted = work / "converted"
                    convert(corpus, converted, kind, args.convert_hours)
                    missed += report(f"{args.convert_hours:g} h", kind, measure(converted, work / "data"))
                    shutil.rmtree(converted)
            shutil.rmtree(corpus)
    sys.exit(1 if missed else 0)


def report(hours: str, kind: str, run: Measured) -> bool:
    """Print a row; say whether a target was missed."""
    speed, gigabytes = run.audio_s / run.wall_s, run.peak_bytes / 1e9
    cells = [
        f"{hours} of {kind}",
        str(run.clips),
        str(run.refused),
        f"{run.wall_s:.0f} s",
        f"{run.cpu_s:.0f} s",
        f"{speed:.0f}",
    ]
    cells += [f"{run.audio_s / run.cpu_s * (os.cpu_count() or 1):.0f}"]
    cells += [f"≥ {WANTED[kind]}", f"{gigabytes:.2f} GB", f"< {WANTED_GB} GB"]
    print("| " + " | ".join(cells) + " |", flush=True)
    return speed < WANTED[kind] or gigabytes >= WANTED_GB


def measure(corpus: Path, out_dir: Path) -> Measured:
    """Prepare a corpus in a child and watch the memory of its whole family, ten times a second."""
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
    return Measured(clips, audio_s, wall_s, refused, peak, cpu_s)


def repeat(corpus: Path, hours: float) -> None:
    """List the clips of every split again under new ids until they last so many hours; the files stay as they are."""
    found = {path: json.loads(path.read_text(encoding="utf-8")) for path in corpus.glob("*/transcripts.json")}
    seconds = sum(item["duration"] for items in found.values() for item in items.values())
    times = round(hours * 3600 / seconds)
    for path, items in found.items() if times > 1 else ():
        again = {f"{audio_id}-{n}": item for n in range(times) for audio_id, item in items.items()}
        path.write_text(json.dumps(again), encoding="utf-8")


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


def convert(corpus: Path, out: Path, kind: str, hours: float) -> None:
    """Write the beginning of a corpus's training split in another format."""
    (out / "audio").mkdir(parents=True)
    items = json.loads((corpus / "train" / "transcripts.json").read_text(encoding="utf-8"))
    jobs, seconds = [], 0.0
    for item in items.values():
        if seconds > hours * 3600:
            break
        seconds += item["duration"]
        source = corpus / "train" / item["audio_filepath"]
        item["audio_filepath"] = f"audio/{source.stem}{'.wav' if kind.endswith('WAV') else '.mp3'}"
        jobs.append((source, out / item["audio_filepath"], item))
    with ProcessPoolExecutor() as executor:
        list(executor.map(_convert, *zip(*[(source, target) for source, target, _ in jobs], strict=True), chunksize=16))
    (out / "transcripts.json").write_text(json.dumps([item for _, _, item in jobs]), encoding="utf-8")


def _convert(source: Path, target: Path) -> None:
    samples, rate = soundfile.read(source, dtype="float32")
    if target.suffix == ".mp3":
        samples = soxr.resample(samples, rate, 44_100)
        samples, rate = np.stack([samples, samples], axis=1), 44_100
    soundfile.write(target, samples, rate)


if __name__ == "__main__":
    main()
