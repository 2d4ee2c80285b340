"""Commands on models: train, evaluate, demo."""

from pathlib import Path
from typing import Annotated

import typer

from rojak.cli.app import DEMO_DIR, Fold, Json, app, check_choice, out, parse_fold, print_json


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
    max_hours: Annotated[
        float | None, typer.Option("--max_hours", help="Train on so many hours only, for a first run.")
    ] = None,
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
        "max_hours": max_hours,
    }
    changes = list(overrides or [])
    if config is not None and "=" in config.name and not config.exists():
        config, changes = None, [str(config), *changes]
    settings = load_config(TrainConfig, config, changes, **flags)
    from rojak.train.loop import train as run

    run(settings, allow_change=allow_change)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="rojak-micro, a run, an adapter, model or export folder, or a hub id.")],
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
    beams: Annotated[int, typer.Option(help="Width of the beam search; 1 is greedy.", min=1, max=32)] = 1,
    temperature_fallback: Annotated[
        bool, typer.Option("--temperature-fallback", help="Decode unlikely or repetitive texts again, less greedily.")
    ] = False,
    word_times: Annotated[
        bool, typer.Option("--word-times", help="Give each word heard its time and confidence in predictions.jsonl.")
    ] = False,
    fold: Fold = "none",
    as_json: Json = False,
) -> None:
    """Decode, score against the targets, and write metrics.json, predictions.jsonl and report.html.

    Example: `rojak evaluate runs/first data`
    """
    from rojak.evaluate.decode import DecodeOptions
    from rojak.evaluate.evaluate import EvaluateOptions, parse_snr_ranges, parse_splits, print_result
    from rojak.evaluate.evaluate import evaluate as run
    from rojak.evaluate.write import metrics_document
    from rojak.export.evaluating import open_system

    check_choice("--context", context, ("full", "trim"))
    options = EvaluateOptions(
        splits=parse_splits(split),
        decode=DecodeOptions(
            context="trim" if context == "trim" else "full",
            language=language,
            max_new_tokens=max_new_tokens,
            num_beams=beams,
            temperature_fallback=temperature_fallback,
            word_times=word_times,
        ),
        text=parse_fold(fold),
        snr_ranges=parse_snr_ranges(snr),
        with_base=base,
        max_utterances=max_utterances,
        audio=audio,
    )
    folder = out_dir or (Path(model) if Path(model).is_dir() else Path()) / "evaluation"
    result = run(model, data, folder, options, open_system)
    if as_json:
        print_json(metrics_document(result.systems))
    else:
        print_result(result, out)


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Argument(help="New folder for everything the demo makes.")] = DEMO_DIR,
) -> None:
    """Go the whole way on synthetic speech with the embedded model: make, prepare, train, evaluate, report.

    Example: `rojak demo`
    """
    from rojak.demo import demo as run

    run(out_dir, out)
