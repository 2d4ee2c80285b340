"""From a model and prepared data to `metrics.json`, `predictions.jsonl` and `report.html`, base and tuned side by side.

Reads a model (embedded, folder, adapter, run directory, hub id) and prepared shards; writes a results folder:

    metrics.json   predictions.jsonl   predictions-noisy.jsonl   base/predictions*.jsonl   report.html   report.md
    model-card.md
"""

import datetime
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rojak.audio import Samples
from rojak.data.dataset import Dataset
from rojak.errors import InputError
from rojak.evaluate.card import write_model_card
from rojak.evaluate.decode import Decode, DecodeOptions, decode_clips
from rojak.evaluate.predict import SnrRange, predict
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.report import write_report
from rojak.evaluate.results import Scores
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.show import targets_table
from rojak.evaluate.targets import TRAINING_HOURS, training_hours
from rojak.evaluate.write import write_metrics, write_predictions
from rojak.model.adapters import base_name, load_any
from rojak.model.whisper import Whisper
from rojak.records import SPLITS, Split
from rojak.runs import explain_os_error, read_jsonl
from rojak.text.normalize import PLAIN, TextOptions

NOISE_SLICE = "added_snr"
DEFAULT_SNR_RANGES: tuple[SnrRange, ...] = ((15, 20), (10, 15), (5, 10), (0, 5))


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure.

    Attributes:
        splits: Parts of the prepared data.
        decode: How to decode.
        text: Optional passes of the normaliser.
        snr_ranges: Ranges (dB) at which noise is mixed into the clean utterances of the set; none: not measured.
        with_base: Also evaluate the model that an adapter or run started from.
        max_utterances: First so many, spread evenly over the set; None is all.
        audio: Whether the report holds the worst utterances' sound.
        seed: Of the bootstrap.
    """

    splits: tuple[Split, ...] = ("test",)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    text: TextOptions = PLAIN
    snr_ranges: tuple[SnrRange, ...] = DEFAULT_SNR_RANGES
    with_base: bool = True
    max_utterances: int | None = None
    audio: bool = True
    seed: int = 0


@dataclass(frozen=True)
class System:
    """A model that is ready to decode, whatever runs it.

    Attributes:
        decode: Decodes clips.
        runtime: What runs it: `transformers`, or the format of an export.
        parameters_m: Millions of parameters, where it can be told.
    """

    decode: Decode
    runtime: str = "transformers"
    parameters_m: float | None = None


OpenSystem = Callable[[str], System]
"""From a model's name to the model, opened."""


def open_whisper(name: str) -> System:
    """Open a base model, adapter, run, merged folder or hub id with PyTorch, on the GPU where there is one.

    Raises:
        InputError: No model under that name.
    """
    whisper = load_any(name)
    whisper.network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return System(partial(decode_clips, whisper), parameters_m=_millions(whisper))


@dataclass(frozen=True)
class EvaluateResult:
    """Where the results are, and the results, the tuned system first."""

    out_dir: Path
    report: Path
    systems: list[Scores]


def parse_snr_ranges(text: str) -> tuple[SnrRange, ...]:
    """Read `15:20,10:15` as ranges in dB; an empty text or `none` means no noise test.

    Raises:
        InputError: Not of that form.
    """
    if text.strip().lower() in ("", "none"):
        return ()
    ranges = []
    for part in text.split(","):
        try:
            low, high = (float(end) for end in part.split(":"))
        except ValueError:
            raise InputError(f"--snr {text!r}: write ranges of dB such as 15:20,10:15, or none.") from None
        if low > high:
            raise InputError(f"--snr {text!r}: {part} starts above its end.")
        ranges.append((low, high))
    return tuple(ranges)


def parse_splits(text: str) -> tuple[Split, ...]:
    """Read `test`, `train,test` or `all`.

    Raises:
        InputError: Names no split.
    """
    names = SPLITS if text == "all" else tuple(text.split(","))
    chosen = tuple(split for split in SPLITS if split in names)
    if not chosen or len(chosen) != len(names):
        raise InputError(f"--split {text!r}: allowed are {', '.join(SPLITS)}, several of them with commas, or all.")
    return chosen


def evaluate(
    model_name: str,
    data_dir: Path,
    out_dir: Path,
    options: EvaluateOptions | None = None,
    open_system: OpenSystem = open_whisper,
) -> EvaluateResult:
    """Decode, score and report.

    Args:
        model_name: `rojak-micro`, a model or adapter folder, a run directory, or a hub id.
        data_dir: Folder written by `rojak prepare`.
        out_dir: Results of an earlier evaluation in it are replaced.
        options: What to measure.
        open_system: Opens the models; the command line gives one that knows exported folders too.

    Raises:
        RojakError: Bad input.
    """
    options = options or EvaluateOptions()
    data = Dataset(data_dir, options.splits)
    indices = _spread(len(data), options.max_utterances)
    names = [model_name]
    base = base_name(model_name)
    if options.with_base and base is not None:
        names.append(base)
    labels = ["tuned", "base"] if len(names) == 2 else [model_name]
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for folder in (out_dir, out_dir / "base"):
            for name in ("predictions.jsonl", "predictions-noisy.jsonl"):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, out_dir) from error
    systems = []
    for label, name in zip(labels, names, strict=True):
        folder = out_dir if label != "base" else out_dir / "base"
        # Opened one after the other: two large models need not fit together.
        systems.append(_evaluate_one(open_system(name), (name, label), data, indices, folder, options))
    run_log = Path(model_name) / "log.jsonl"
    with suppress(InputError):  # a damaged log leaves the hours unmeasured
        settings = systems[0].settings | {TRAINING_HOURS: training_hours(read_jsonl(run_log))}
        systems[0] = replace(systems[0], settings=settings)
    write_metrics(out_dir / "metrics.json", systems)
    date = datetime.datetime.now().astimezone().date().isoformat()
    write_model_card(out_dir / "model-card.md", systems, date=date)
    report = write_report(
        out_dir,
        systems,
        run_log=run_log if run_log.is_file() else None,
        read_audio=_reader(data) if options.audio else None,
        date=date,
    )
    return EvaluateResult(out_dir, report, systems)


def _evaluate_one(
    system: System,
    names: tuple[str, str],
    data: Dataset,
    indices: Sequence[int],
    folder: Path,
    options: EvaluateOptions,
) -> Scores:
    """Decode and score one system, given its name and label; write its predictions into `folder`."""
    name, label = names
    clean = [index for index in indices if data.utterances[index].added_snr_db is None]
    total = len(indices) + len(clean) * len(options.snr_ranges)
    with _progress(label) as progress:
        task = progress.add_task(label, total=total)

        def run(chosen: Sequence[int], snr_range: SnrRange | None = None) -> list[Prediction]:
            return predict(
                system.decode,
                data,
                chosen,
                options.decode,
                snr_range=snr_range,
                on_progress=lambda done: progress.advance(task, done),
            )

        rows = run(indices)
        noisy = [row for snr_range in options.snr_ranges for row in run(clean, snr_range)]
    settings = {
        "model": name,
        "base": base_name(name),
        "data": str(data.prepared_dir),
        "splits": list(data.splits),
        "runtime": system.runtime,
        "parameters_m": system.parameters_m,
        "decode": asdict(options.decode),
    }
    scoring = ScoreOptions(text=options.text, system=label, settings=settings, seed=options.seed)
    scores = score_predictions(rows, scoring)
    folder.mkdir(exist_ok=True)
    if noisy:
        # The table of noise is over the same utterances at every ratio: the clean ones and what was mixed from them.
        kept = [row for row, index in zip(rows, indices, strict=True) if data.utterances[index].added_snr_db is None]
        robustness = score_predictions([*kept, *noisy], replace(scoring, slices=(NOISE_SLICE,)))
        write_predictions(folder / "predictions-noisy.jsonl", robustness)
        parts = robustness.slices[NOISE_SLICE]
        scores = replace(scores, slices={**scores.slices, NOISE_SLICE: parts})
    write_predictions(folder / "predictions.jsonl", scores)
    return scores


def print_result(result: EvaluateResult, console: Console) -> None:
    """Print the targets table and where the report is."""
    console.print(targets_table(result.systems))
    console.print(f"Report: {result.report}", highlight=False, soft_wrap=True)


def _spread(count: int, wanted: int | None) -> list[int]:
    """Give `wanted` indices spread evenly over `count`, or all."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def _millions(whisper: Whisper) -> float:
    count: int = sum(parameter.numel() for parameter in whisper.network.parameters())
    return round(count / 1e6, 2)


def _progress(label: str) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn(f"evaluate {label}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _reader(data: Dataset) -> Callable[[str], Samples | None]:
    """Give a function from audio_id to its sound, for the report's players."""
    places = {utterance.audio_id: index for index, utterance in enumerate(data.utterances)}

    def read(audio_id: str) -> Samples | None:
        return data.read_audio(places[audio_id]) if audio_id in places else None

    return read
