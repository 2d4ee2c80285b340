"""`rojak bench MODEL…`: real-time factor, latency and memory by clip length, ours beside its peers in the same run.

Writes `OUT/bench.json`, `OUT/bench.md` and `OUT/bench.png`. Each program runs in a process of its own, one after the
other, on the same sound, language and limits.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from rojak import __version__
from rojak.errors import InputError, RojakError
from rojak.export.bench.clips import BenchClip, make_clips
from rojak.export.bench.systems import MODULES, PEERS_OF_KIND, SYSTEMS, Job
from rojak.export.bench.worker import Timing, WorkerResult, read_result
from rojak.export.folder import EXPORT_FILE, read_export
from rojak.model.names import model_path
from rojak.runs import explain_os_error, write_json
from rojak.text.normalize import normalize
from rojak.text.units import words

SCHEMA = "rojak-bench-1"


@dataclass(frozen=True)
class BenchOptions:
    """What is measured.

    Attributes:
        lengths_s: Lengths of clips.
        batches: Windows decoded together.
        threads: Numbers of threads; empty takes one a core.
        most_clips: Clips of each short length; fewer of long ones.
        language: Prompted for every clip, in every program.
        context: Ours: `full`, `trim`, or None for what suits the model.
        peers: Names of `SYSTEMS`; None takes those that run the model's kind.
        data_dir: Prepared data to cut clips from; None makes synthetic speech.
        seed: Of the clips.
        max_new_tokens: Longest transcript of a window, in every program.
    """

    lengths_s: tuple[float, ...] = (1.0, 4.0, 10.0, 30.0, 600.0)
    batches: tuple[int, ...] = (1, 8)
    threads: tuple[int, ...] = ()
    most_clips: int = 16
    language: str = "ms"
    context: str | None = None
    peers: tuple[str, ...] | None = None
    data_dir: Path | None = None
    seed: int = 7
    max_new_tokens: int = 224


@dataclass(frozen=True)
class BenchRow:
    """One program on one model, one length, one batch size, one number of threads.

    Attributes:
        rtf: Seconds of computation a second of sound; below 1 is faster than speech.
        audio_per_s: Its inverse: seconds of sound a second.
        cpu_rtf: Seconds of CPU, of all threads together, a second of sound; other programs do not disturb it much.
        latency_p50_s: Half of the calls took no longer; a call hears `batch` clips.
        latency_p95_s: 95 % of the calls took no longer.
        wer: Over clips of whole utterances; None where none is.
        peak_mib: Largest resident memory of the whole process over all its sets; None where the system does not tell.
    """

    system: str
    model: str
    kind: str
    dtype: str
    threads: int
    length_s: float
    batch: int
    clips: int
    audio_s: float
    rtf: float
    audio_per_s: float
    cpu_rtf: float
    latency_p50_s: float
    latency_p95_s: float
    wer: float | None
    load_s: float
    peak_mib: float | None


@dataclass(frozen=True)
class BenchResult:
    """All rows, and programs that were left out with the reason."""

    rows: tuple[BenchRow, ...]
    left_out: dict[str, str]
    machine: dict[str, Any]
    options: BenchOptions

    def to_json(self) -> dict[str, Any]:
        """Give the content of `bench.json`."""
        options = {**asdict(self.options), "data_dir": "given" if self.options.data_dir else "synthetic speech"}
        rows = [{name: _short(value) for name, value in asdict(row).items()} for row in self.rows]
        return {
            "schema": SCHEMA,
            "rojak_version": __version__,
            "machine": self.machine,
            "options": options,
            "rows": rows,
            "left_out": self.left_out,
        }


def bench(
    models: Sequence[str], options: BenchOptions | None = None, on_step: Callable[[str], None] | None = None
) -> BenchResult:
    """Measure models, each beside the peers that run its kind.

    Args:
        models: What `open_model` opens.
        options: What to measure.
        on_step: Told what runs now.

    Raises:
        RojakError: No model, no data, or a program died.
    """
    options = options or BenchOptions()
    unknown = [name for name in options.peers or () if name not in SYSTEMS]
    if unknown:
        raise InputError(
            f"--peers {unknown[0]!r}: allowed are {', '.join(name for name in SYSTEMS if name != 'rojak')}."
        )
    kinds = {model: _kind(model) for model in models}
    say = on_step or (lambda text: None)
    say("making clips")
    sets = make_clips(options.data_dir, options.lengths_s, options.most_clips, options.seed, options.language)
    threads = options.threads or (len(os.sched_getaffinity(0)),)
    rows: list[BenchRow] = []
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="rojak-bench-") as name:
        folder = Path(name)
        arrays = {f"{length_s}_{i:04d}": c.samples for length_s, clips in sets.items() for i, c in enumerate(clips)}
        np.savez(folder / "clips.npz", **arrays)  # type: ignore[arg-type]
        for model, (kind, dtype) in kinds.items():
            peers = PEERS_OF_KIND.get(kind, ())
            systems = ["rojak", *(peer for peer in peers if options.peers is None or peer in options.peers)]
            for system in systems:
                if system in MODULES and find_spec(MODULES[system]) is None:
                    left_out[f"{system} on {model}"] = f"{system} is not installed."
                    continue
                path = _path_for(system, model, folder)
                for num in threads:
                    say(f"{system} on {model}, {num} threads")
                    job = Job(
                        system,
                        path,
                        options.language,
                        num,
                        options.context,
                        options.lengths_s,
                        options.batches,
                        options.max_new_tokens,
                    )
                    result = _run(job, folder)
                    if result.refused:
                        left_out[f"{system} on {model}"] = result.refused
                        break
                    where = {"system": system, "model": model, "kind": kind, "dtype": dtype, "threads": num}
                    rows += [_row(where, timing, sets[timing.length_s], result) for timing in result.timings]
    return BenchResult(tuple(rows), left_out, _machine(), options)


def _kind(model: str) -> tuple[str, str]:
    """Give which program a model is for and its number format."""
    folder = Path(model)
    if (folder / EXPORT_FILE).is_file():
        record = read_export(folder)
        return record.format, record.dtype
    return "transformers", "float32"


def _path_for(system: str, model: str, folder: Path) -> str:
    """Give peers a plain folder: the model's own, or one with its adapter merged in."""
    from rojak.model.adapters import ADAPTER_FILE, load_any, resolve_model
    from rojak.model.whisper import save_whisper

    if system in ("rojak", "faster-whisper"):
        return model
    found = resolve_model(model)
    if found is None:
        return model_path(model)
    if not (found / ADAPTER_FILE).is_file():
        return str(found)
    plain = folder / f"plain-{model.replace(os.sep, '-')}"
    if not plain.exists():
        save_whisper(load_any(model), plain)
    return str(plain)


def _run(job: Job, folder: Path) -> WorkerResult:
    """Run a job in a process of its own.

    Raises:
        RojakError: The process died, with the last line that it said.
    """
    job_path, result_path = folder / "job.json", folder / "result.json"
    job_path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    result_path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "rojak.export.bench.worker", str(job_path), str(folder / "clips.npz")]
    threads = {"OMP_NUM_THREADS": str(job.num_threads), "MKL_NUM_THREADS": str(job.num_threads)}
    done = subprocess.run(  # noqa: S603 - our own module
        [*command, str(result_path)], env={**os.environ, **threads}, capture_output=True, text=True, check=False
    )
    if done.returncode or not result_path.is_file():
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RojakError(f"{job.system} died on {job.model}: {last}")
    return read_result(result_path)


def _row(where: dict[str, Any], timing: Timing, clips: Sequence[BenchClip], result: WorkerResult) -> BenchRow:
    p50, p95 = np.percentile(timing.calls_s, [50, 95])
    return BenchRow(
        **where,
        length_s=timing.length_s,
        batch=timing.batch,
        clips=len(clips),
        audio_s=timing.audio_s,
        rtf=timing.wall_s / timing.audio_s,
        audio_per_s=timing.audio_s / timing.wall_s,
        cpu_rtf=timing.cpu_s / timing.audio_s,
        latency_p50_s=float(p50),
        latency_p95_s=float(p95),
        wer=word_error_rate([clip.reference for clip in clips], timing.texts),
        load_s=result.load_s,
        peak_mib=result.peak_mib,
    )


def word_error_rate(references: Sequence[str | None], texts: Sequence[str]) -> float | None:
    """Give word errors over reference words, over the clips that have a reference."""
    errors = total = 0
    for reference, text in zip(references, texts, strict=True):
        if reference is not None:
            said = words(normalize(reference))
            errors += Levenshtein.distance(said, words(normalize(text)))
            total += len(said)
    return errors / total if total else None


def _machine() -> dict[str, Any]:
    """Give what the numbers depend on beside the programs."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    versions = {}
    for name in ("torch", "transformers", "ctranslate2", "faster-whisper", "onnxruntime", "openai-whisper"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cpu = platform.processor() or platform.machine()
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "gpu": gpu, "versions": versions}


def write_bench(result: BenchResult, out_dir: Path) -> None:
    """Write the numbers as JSON, a Markdown table and a picture.

    Raises:
        InputError: OUT cannot be written.
    """
    from rojak.export.bench.show import draw, to_markdown

    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        write_json(out_dir / "bench.json", result.to_json())
        (out_dir / "bench.md").write_text(to_markdown(result), encoding="utf-8")
        draw(result, out_dir / "bench.png")
    except OSError as error:
        raise explain_os_error(error, out_dir) from error


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
