"""Commands that hand a model over: merge, export, verify."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rojak.cli.app import Json, app, check_choice, out, print_json
from rojak.errors import ExportError

if TYPE_CHECKING:
    from rojak.export.verify import Verdict

Model = Annotated[str, typer.Argument(help="A run, an adapter or model folder, rojak-micro, or a hub id.")]
OutDir = Annotated[Path, typer.Argument(help="New folder.")]
Verify = Annotated[bool, typer.Option("--verify/--no-verify", help="Compare with the original afterwards.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Prepared data to compare on; default: the run's own test set, or made speech."),
]
MaxClips = Annotated[int, typer.Option(help="Clips to compare on, spread evenly.", min=1)]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
MaxNewTokens = Annotated[int, typer.Option(help="Longest transcript of a clip while comparing.", min=1)]


@app.command()
def merge(
    model: Model,
    out_dir: OutDir,
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16, or auto: the base model's own.")] = "auto",
    verify: Verify = True,
    data: Data = None,
    max_clips: MaxClips = 128,
    device: DeviceName = "auto",
    max_new_tokens: MaxNewTokens = 224,
    as_json: Json = False,
) -> None:
    """Join adapter and base to one plain Whisper folder that transformers and every other program loads.

    Example: `rojak merge runs/first merged`
    """
    check_choice("--device", device, ("auto", "cpu", "cuda"))
    from rojak.export.merge import merge as run

    run(model, out_dir, dtype)
    _finish(model, out_dir, verify, data, max_clips, device, max_new_tokens, as_json)


@app.command(name="export")
def export_(
    model: Model,
    out_dir: OutDir,
    to: Annotated[str, typer.Option("--format", help="ct2 (faster-whisper), onnx, ggml (whisper.cpp) or tensorrt.")],
    dtype: Annotated[
        str | None,
        typer.Option(
            help="ct2: float32, float16, int8, int8_float16. onnx: float32, int8. ggml: f16, q5_0, q8_0. "
            "Default: the first."
        ),
    ] = None,
    verify: Verify = True,
    data: Data = None,
    max_clips: MaxClips = 128,
    device: DeviceName = "auto",
    max_new_tokens: MaxNewTokens = 224,
    as_json: Json = False,
) -> None:
    """Write a model as files for another program, and prove that they say the same.

    Example: `rojak export runs/first first-int8 --format ct2 --dtype int8`
    """
    check_choice("--device", device, ("auto", "cpu", "cuda"))
    from rojak.export.export import export_model

    export_model(model, out_dir, to, dtype)
    _finish(model, out_dir, verify, data, max_clips, device, max_new_tokens, as_json)


@app.command(name="verify")
def verify_(
    a: Annotated[str, typer.Argument(help="The model held to be right: a run, a folder, a hub id.")],
    b: Annotated[str, typer.Argument(help="The same model in another form: what merge or export wrote.")],
    data: Data = None,
    max_clips: MaxClips = 128,
    device: DeviceName = "auto",
    max_new_tokens: MaxNewTokens = 224,
    as_json: Json = False,
) -> None:
    """Transcribe the same clips with two forms of a model and compare; exit code 1 when they differ too much.

    Example: `rojak verify runs/first first-int8 --data data`
    """
    check_choice("--device", device, ("auto", "cpu", "cuda"))
    _check(a, Path(b), data, max_clips, device, max_new_tokens, as_json)


def _finish(
    model: str,
    out_dir: Path,
    verify: bool,
    data: Path | None,
    max_clips: int,
    device: str,
    max_new_tokens: int,
    as_json: bool,
) -> None:
    """Verify what was written, unless told not to, and say where it is."""
    if verify:
        _check(model, out_dir, data, max_clips, device, max_new_tokens, as_json)
    elif as_json:
        from rojak.export.folder import EXPORT_FILE
        from rojak.runs import read_json

        print_json(read_json(out_dir / EXPORT_FILE))
    if not as_json:
        out.print(f"Written: {out_dir}", highlight=False, soft_wrap=True)


def _check(a: str, b: Path, data: Path | None, max_clips: int, device: str, max_new_tokens: int, as_json: bool) -> None:
    from rojak.export.export import check_export, data_of, find_clips

    clips, source = find_clips(data or data_of(a), max_clips=max_clips)
    chosen: Literal["auto", "cpu", "cuda"] = "cpu" if device == "cpu" else "cuda" if device == "cuda" else "auto"
    verdict = check_export(a, b, clips, source, device=chosen, max_new_tokens=max_new_tokens)
    if as_json:
        print_json(verdict.as_dict())
    else:
        _show(verdict)
    if not verdict.passed:
        raise ExportError(
            f"{b} does not say the same as {a}: {verdict.rule} was wanted, found were {verdict.same_text:.1%} same "
            f"text and {verdict.wer_a:.2f} → {verdict.wer_b:.2f} % WER; its export.json says so too; take another "
            "number format, or compare on more and better clips with --data."
        )


def _show(verdict: "Verdict") -> None:
    from rich.table import Table

    table = Table(title=f"{verdict.b} against {verdict.a}, {verdict.num_clips} clips of {verdict.data}", box=None)
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_row("same text", f"{verdict.same_text:.1%}")
    table.add_row("same tokens", f"{verdict.same_tokens:.1%}")
    table.add_row("WER", f"{verdict.wer_a:.2f} → {verdict.wer_b:.2f} %")
    table.add_row("WER lost, 95 % interval", str(verdict.wer_loss))
    table.add_row("WER when it sees only the clip", f"{verdict.wer_b_trim:.2f} %")
    table.add_row("WER lost by that", str(verdict.trim_loss))
    times = verdict.word_time_difference_s
    table.add_row("words begin apart by", "not measured" if times is None else f"{1000 * times:.0f} ms")
    table.add_row("trim-safe", ("yes" if verdict.trim_safe else "no") + ("" if verdict.trim_certain else ", uncertain"))
    table.add_row("verdict", f"{'PASS' if verdict.passed else 'FAIL'} ({verdict.rule})")
    out.print(table)
    for doubt in verdict.doubts():
        out.print(f"Too few clips: {doubt} Give more with --data and --max-clips.", style="yellow", soft_wrap=True)
    for example in verdict.examples:
        out.print(f"{example['audio_id']}: {example['a']!r} → {example['b']!r}", markup=False, soft_wrap=True)
