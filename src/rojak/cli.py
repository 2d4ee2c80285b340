"""The command line: parses, wires the rooms, calls one function per command.

Heavy libraries are imported inside the commands, so that `rojak --help` answers at once.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rojak import __version__
from rojak.errors import InputError, RojakError
from rojak.runs import explain_os_error

app = typer.Typer(
    name="rojak",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Fine-tune Whisper on Malaysian code-switched speech, measure what matters in it, and ship the result.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)
DEMO_DIR = Path("demo")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Workers = Annotated[int | None, typer.Option(help="Processes; default: one a core.", min=0)]


def main() -> None:
    """Run a command; a `RojakError` becomes one sentence and exit code 1, Ctrl-C becomes 130."""
    try:
        app(standalone_mode=False)
    except RojakError as error:
        err.print(f"Error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except typer.Exit as exit_request:
        sys.exit(exit_request.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        err.print("Stopped by Ctrl-C.", style="red")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        # Click's own usage errors know how to show themselves; anything else is a bug and keeps its traceback.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", 2))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def _version(show: bool) -> None:
    if show:
        print(f"rojak {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def synthesize(
    out_dir: Annotated[Path, typer.Argument(help="New folder for the corpus.")],
    hours: Annotated[float, typer.Option(help="Hours of all splits together.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = 1,
    clean_monolingual: Annotated[
        bool, typer.Option(help="Four languages, each by itself, without particles and noise.")
    ] = False,
    noisy_share: Annotated[float, typer.Option(help="Share of utterances with added noise.")] = 0.25,
    speakers: Annotated[int, typer.Option(help="Synthetic speakers, at least 24.")] = 48,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Make Malaysian speech with exact labels: words, languages, times, speakers, noise at a known ratio.

    Example: `rojak synthesize corpus --hours 1 --seed 7`
    """
    from rojak.data.synthesis_plan import CLEAN_MONOLINGUAL, Settings
    from rojak.data.synthesize import synthesize as run

    settings = CLEAN_MONOLINGUAL if clean_monolingual else Settings(noisy_share=noisy_share)
    settings = replace(settings, num_speakers=speakers)
    summary = run(out_dir, hours, seed, settings=settings, workers=workers)
    if as_json:
        _print_json(_plain(summary))
        return
    done = "already there" if summary.already_there else f"made in {summary.elapsed_s:.0f} s"
    counts = ", ".join(f"{split} {n} ({summary.hours[split]:.2f} h)" for split, n in summary.num_utterances.items())
    out.print(f"{out_dir}: {counts}; {summary.num_speakers} speakers; {done}.", highlight=False, soft_wrap=True)


@app.command()
def prepare(
    source: Annotated[
        str, typer.Argument(help="Folder or manifest with recordings and transcripts, or hf:OWNER/NAME; docs/data.md.")
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the prepared data.")],
    model: Annotated[
        str, typer.Option(help="Whose tokens are counted against Whisper's limit of 448.")
    ] = "rojak-micro",
    allow_bad: Annotated[float, typer.Option(help="Share of refused clips above which the command stops.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the split, where none is given.", min=0)] = 0,
    column: Annotated[list[str] | None, typer.Option(help="Field=column, such as text=sentence; repeatable.")] = None,
    kind: Annotated[str | None, typer.Option(help="Force the kind of source.")] = None,
    audio_root: Annotated[Path | None, typer.Option(help="Where recordings may lie; default: the corpus.")] = None,
    split_long: Annotated[
        bool | None, typer.Option("--split-long", help="Cut recordings over 30 s at word times or pauses.")
    ] = None,
    audit_with: Annotated[
        str | None, typer.Option(help="Model that hears every clip; transcripts far from it are refused.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, such as min_snr_db=5; repeatable.")
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Check recordings and write them as Parquet shards of 16 kHz FLAC; bad ones go to quarantine.jsonl.

    Example: `rojak prepare my-recordings data`
    """
    from rojak.config.load import load_config
    from rojak.data.prepare import prepare as run
    from rojak.data.settings import PrepareSettings
    from rojak.model.names import token_counter

    columns = dict(_pair(text) for text in column or [])
    flags = {"allow_bad": allow_bad, "seed": seed, "columns": columns, "kind": kind, "audio_root": audio_root}
    settings = load_config(PrepareSettings, None, setting or [], tokenizer=model, split_long=split_long, **flags)
    summary = run(
        source, out_dir, settings=settings, workers=workers, count_tokens=token_counter(model), show_progress=True
    )
    if audit_with is not None:
        from rojak.evaluate.audit import audit_summary

        summary = audit_summary(summary, audit_with, settings)
    if as_json:
        _print_json(_plain(summary))
        return
    counts = ", ".join(f"{split} {n} ({summary.hours[split]:.2f} h)" for split, n in summary.clips.items())
    done = "nothing to do, it is up to date" if summary.unchanged else f"prepared in {summary.wall_s:.0f} s"
    out.print(f"{out_dir} from {summary.kind}: {counts}; {done}.", highlight=False, soft_wrap=True)
    if summary.refused:
        reasons = ", ".join(f"{reason} {n}" for reason, n in summary.refused.items())
        out.print(f"Refused: {reasons}; see {out_dir / 'quarantine.jsonl'}.", highlight=False, soft_wrap=True)
    for note in summary.notes:
        out.print(note, highlight=False, markup=False, soft_wrap=True)


@app.command()
def inspect(
    data: Annotated[Path, typer.Argument(help="Folder written by `rojak prepare`.")],
    source: Annotated[str | None, typer.Option(help="The corpus it was made of, to hear refused clips.")] = None,
    page: Annotated[Path | None, typer.Option("--out", help="The page; default: DATA/inspect.html.")] = None,
    as_json: Json = False,
) -> None:
    """Look prepared data over: suspicious and refused clips with players, hours, histograms, particles, switches.

    Example: `rojak inspect data --source my-recordings`
    """
    from rojak.evaluate.inspect import inspect as run
    from rojak.evaluate.inspect import recorded_counter, survey_document

    survey, path = run(data, page, source=source, count_tokens=recorded_counter(data))
    if as_json:
        _print_json(survey_document(survey))
        return
    out.print(
        f"{survey.clips} clips, {survey.hours:.2f} h; {len(survey.refusals)} refused, {len(survey.suspicious)} "
        f"suspicious. Page: {path}",
        highlight=False,
        soft_wrap=True,
    )


def _underscored(token: str) -> str:
    """Let a training flag be written as in scripts (--batch_size) or with dashes (--batch-size)."""
    return token.replace("-", "_")


@app.command(context_settings={"token_normalize_func": _underscored})
def train(
    config: Annotated[Path | None, typer.Argument(help="YAML file; see configs/.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Such as windows.mode=trim.")] = None,
    model_name: Annotated[str | None, typer.Option("--model_name", help="Base model.")] = None,
    dataset_path: Annotated[str | None, typer.Option("--dataset_path", help="Prepared data.")] = None,
    output_dir: Annotated[str | None, typer.Option("--output_dir", help="Run directory.")] = None,
    num_epochs: Annotated[float | None, typer.Option("--num_epochs", help="Passes a stage.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch_size", help="Clips a micro-batch.")] = None,
    gradient_accumulation_steps: Annotated[
        int | None, typer.Option("--gradient_accumulation_steps", help="Micro-batches a step.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning_rate", help="Peak rate.")] = None,
    lora_r: Annotated[int | None, typer.Option("--lora_r", help="Rank of the adapter.")] = None,
    lora_alpha: Annotated[int | None, typer.Option("--lora_alpha", help="Scale of the adapter.")] = None,
    use_4bit: Annotated[bool | None, typer.Option("--use_4bit/--no-use_4bit", help="QLoRA.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", min=0)] = None,
    allow_change: Annotated[
        bool, typer.Option("--allow_change", help="Continue a run under changed settings.")
    ] = False,
) -> None:
    """Fine-tune in stages. The same command again continues an interrupted run.

    Example: `rojak train configs/large-v3-lora.yaml --dataset_path data --output_dir runs/first`
    """
    from rojak.config.load import load_config
    from rojak.config.schema import TrainConfig

    flags = {
        "model_name": model_name,
        "dataset_path": dataset_path,
        "output_dir": output_dir,
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "learning_rate": learning_rate,
        "lora_r": lora_r,
        "lora_alpha": lora_alpha,
        "use_4bit": use_4bit,
        "seed": seed,
    }
    changes = list(overrides or [])
    if config is not None and "=" in config.name and not config.exists():
        config, changes = None, [str(config), *changes]
    settings = load_config(TrainConfig, config, changes, **flags)
    from rojak.train.loop import train as run

    run(settings, allow_change=allow_change)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="rojak-micro, a run, an adapter or model folder, or a hub id.")],
    data: Annotated[Path, typer.Argument(help="Folder written by `rojak prepare`.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Results; default: MODEL/evaluation, or ./evaluation.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation, test, several with commas, or all.")] = "test",
    context: Annotated[str, typer.Option(help="full (30 s, as other runtimes) or trim (only the clip).")] = "full",
    language: Annotated[str, typer.Option(help="record, detect, or a code such as ms.")] = "record",
    snr: Annotated[str, typer.Option(help="Noise tests in dB, or none.")] = "15:20,10:15,5:10,0:5",
    base: Annotated[bool, typer.Option(help="Evaluate the base model too.")] = True,
    audio: Annotated[bool, typer.Option(help="Put the worst clips' sound into the report.")] = True,
    max_utterances: Annotated[int | None, typer.Option(help="Take so many, spread evenly.", min=1)] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest transcript of a window.", min=1)] = 224,
    as_json: Json = False,
) -> None:
    """Decode, score against the targets, and write metrics.json, predictions.jsonl and report.html.

    Example: `rojak evaluate runs/first data`
    """
    from rojak.evaluate.decode import DecodeOptions
    from rojak.evaluate.evaluate import EvaluateOptions, parse_snr_ranges, parse_splits, print_result
    from rojak.evaluate.evaluate import evaluate as run
    from rojak.evaluate.write import metrics_document

    _one_of("--context", context, ("full", "trim"))
    options = EvaluateOptions(
        splits=parse_splits(split),
        decode=DecodeOptions(
            context="trim" if context == "trim" else "full", language=language, max_new_tokens=max_new_tokens
        ),
        snr_ranges=parse_snr_ranges(snr),
        with_base=base,
        max_utterances=max_utterances,
        audio=audio,
    )
    folder = out_dir or (Path(model) if Path(model).is_dir() else Path()) / "evaluation"
    result = run(model, data, folder, options)
    if as_json:
        _print_json(metrics_document(result.systems))
    else:
        print_result(result, out)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or TSV with audio_id, reference and hypothesis.")],
    references: Annotated[Path | None, typer.Option(help="Take the references from this file, by audio_id.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write every measure to this file.")] = None,
    allow_empty: Annotated[bool, typer.Option(help="Take empty references as clips without speech.")] = False,
    by: Annotated[list[str] | None, typer.Option(help="Show a table by this slicing; repeatable.")] = None,
) -> None:
    """Score transcripts of any system, without audio.

    Example: `rojak score predictions.jsonl --json metrics.json`
    """
    from rojak.evaluate.score import ScoreOptions
    from rojak.evaluate.score import score as run
    from rojak.evaluate.show import headline_table, slice_table
    from rojak.evaluate.slices import DEFAULT_SLICES
    from rojak.evaluate.write import write_metrics

    slices = (*DEFAULT_SLICES, *(name for name in by or [] if name not in DEFAULT_SLICES))
    scores = run(file, references, ScoreOptions(slices=slices), allow_empty)
    out.print(headline_table([scores]))
    for name in by or []:
        if name not in scores.slices:
            raise InputError(f"No row has {name!r}; there are {', '.join(scores.slices)}.")
        out.print(slice_table(scores, name))
    for note in scores.notes:
        out.print(note, highlight=False, markup=False, soft_wrap=True)
    if json_out is not None:
        write_metrics(json_out, [scores])


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(help="Two or more predictions files; the first is compared with.")],
    references: Annotated[Path | None, typer.Option(help="Take the references from this file, by audio_id.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Show WER by this slicing; repeatable.")] = None,
    show: Annotated[int, typer.Option(help="Utterances shown that got better, and that got worse.", min=0)] = 5,
    as_json: Json = False,
) -> None:
    """Compare systems on the same utterances: differences with intervals, P(better), significance, what changed.

    Example: `rojak compare evaluation/base/predictions.jsonl evaluation/predictions.jsonl`
    """
    from rojak.evaluate.compare import compare as run
    from rojak.evaluate.score import ScoreOptions, score
    from rojak.evaluate.show import compared_slice_table, comparison_table, describe_change, describe_mapsswe

    if len(files) < 2:
        raise InputError("Give at least two files to compare.")
    slices = ScoreOptions().slices
    options = ScoreOptions(resamples=0, slices=(*slices, *(name for name in by or [] if name not in slices)))
    systems = [score(file, references, options) for file in files]
    found = run(systems)
    if as_json:
        _print_json([comparison.to_json() for comparison in found])
        return
    for second, comparison in zip(systems[1:], found, strict=True):
        out.print(comparison_table(comparison))
        out.print(describe_mapsswe(comparison.overall), highlight=False, soft_wrap=True)
        for name in by or []:
            if name not in comparison.slices:
                raise InputError(f"No row has {name!r}; there are {', '.join(comparison.slices)}.")
            out.print(compared_slice_table(comparison, name))
        for title, changes in (("Better", comparison.better), ("Worse", comparison.worse)):
            for change in changes[:show]:
                text = describe_change(change, systems[0], second)
                out.print(f"{title}: {text}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def tag(
    file: Annotated[Path | None, typer.Argument(help="Text, one sentence a line; default: standard input.")] = None,
    words: Annotated[
        list[Path] | None, typer.Option(help="YAML with your own words and particles; repeatable.")
    ] = None,
) -> None:
    """Give every word its language: ms, en, zh, ta, particle or other, as JSON Lines.

    Example: `echo "Can you tolong check this lah" | rojak tag`
    """
    from rojak.text.language import load_tagger, tag_lines

    tagger = load_tagger(tuple(words or ()))
    try:
        lines = file.open(encoding="utf-8") if file else sys.stdin
        with lines:
            for row in tag_lines(lines, tagger):
                print(json.dumps(row, ensure_ascii=False))  # noqa: T201
    except OSError as error:
        raise explain_os_error(error, file or Path("standard input")) from error
    except UnicodeDecodeError:
        raise InputError(f"{file or 'Standard input'} is not UTF-8 text; save it as UTF-8.") from None


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Argument(help="New folder for everything the demo makes.")] = DEMO_DIR,
) -> None:
    """Go the whole way on synthetic speech with the embedded model: make, prepare, train, evaluate, report.

    Example: `rojak demo`
    """
    from rojak.demo import demo as run

    run(out_dir, out)


def _pair(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not equals:
        raise InputError(f"--column {text!r}: write FIELD=COLUMN, such as text=sentence.")
    return field, column


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} {value!r}: allowed are {', '.join(allowed)}.")


def _plain(summary: Any) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()}


if __name__ == "__main__":
    main()
