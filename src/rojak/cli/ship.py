"""Commands that use a finished model: transcribe, bench, package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rojak.cli.app import Json, app, check_choice, err, out, print_json
from rojak.errors import InputError, RojakError
from rojak.model.names import MICRO_NAME


@app.command()
def transcribe(
    audio: Annotated[list[str], typer.Argument(help="Recordings of any length, folders, or patterns in quotes.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="rojak-micro, a run, a model folder, an export, or a hub id.")
    ] = MICRO_NAME,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the transcripts; default: standard output.")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", "-f", help="txt, json, srt, vtt, tsv, several with commas, or all.")
    ] = "txt",
    language: Annotated[str, typer.Option(help="auto, or a code such as ms; auto chooses window by window.")] = "auto",
    context: Annotated[
        str, typer.Option(help="full, trim, or auto: trim where the export is known to bear it.")
    ] = "auto",
    window_s: Annotated[
        float | None, typer.Option("--window", help="Longest window in seconds; default: 30, or 15 trimmed.")
    ] = None,
    vad: Annotated[bool, typer.Option(help="Leave out silence, noise and music (silero-vad).")] = True,
    word_times: Annotated[
        bool | None, typer.Option(help="Find when each word is said; default: where a format shows it.")
    ] = None,
    batch_seconds: Annotated[float, typer.Option(help="Audio seconds decoded together.", min=1)] = 240.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Transcribe recordings of any length. The same command again does only what is new or failed.

    Example: `rojak transcribe calls --model runs/first --out transcripts --format txt,srt`
    """
    from rojak.export.transcribe.formats import FORMATS
    from rojak.export.transcribe.listen import ListenOptions
    from rojak.export.transcribe.sound import find_recordings

    names = tuple(dict.fromkeys(formats.split(",")))
    for name in names:
        check_choice("--format", name, (*FORMATS, "all"))
    names = tuple(FORMATS) if "all" in names else names
    check_choice("--context", context, ("auto", "full", "trim"))
    check_choice("--device", device, ("auto", "cpu", "cuda"))
    if window_s is not None and not 1.0 <= window_s <= 30.0:
        raise InputError(f"--window {window_s:g}: allowed are 1 to 30 seconds; Whisper hears no more at once.")
    recordings = find_recordings(audio)
    if out_dir is None and (len(names) > 1 or (len(recordings) > 1 and names[0] not in ("txt", "json"))):
        raise InputError("Several formats, or subtitles of several recordings, need a folder: add --out DIR.")
    if model == MICRO_NAME:
        err.print(
            f"{MICRO_NAME} only understands synthetic voices; for people's speech give --model with another model.",
            style="yellow",
            soft_wrap=True,
        )
    timed = bool({"json", "srt", "vtt"} & set(names)) if word_times is None else word_times
    options = ListenOptions(
        language=None if language == "auto" else language,
        context=None if context == "auto" else context,  # type: ignore[arg-type]
        max_window_s=window_s,
        vad=vad,
        batch_seconds=batch_seconds,
        words=timed or "json" in names,
        word_times=timed,
    )
    from rojak.export.transcribe.transcribe import open_named, print_transcripts, raise_failures, transcribe_into

    opener = open_named(model, device)  # type: ignore[arg-type]
    if out_dir is None:
        raise_failures(print_transcripts(recordings, opener, options, names[0]), len(recordings))
        return
    summary = transcribe_into(recordings, opener, out_dir, names, options)
    done = f", {summary.already_done} were done already" if summary.already_done else ""
    err.print(
        f"{out_dir}: {summary.transcribed} transcribed ({summary.audio_s / 60:.1f} min){done}.",
        highlight=False,
        soft_wrap=True,
    )
    raise_failures(summary.failed, len(recordings))


@app.command()
def bench(
    models: Annotated[list[str], typer.Argument(help="rojak-micro, runs, model folders or exports.")],
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Folder for bench.json, bench.md and bench.png.")] = Path(
        "bench"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Folder of `rojak prepare` to cut clips from; default: made speech.")
    ] = None,
    lengths: Annotated[str, typer.Option(help="Seconds of the clips.")] = "1,4,10,30,600",
    batches: Annotated[str, typer.Option("--batch", help="Windows decoded together.")] = "1,8",
    threads: Annotated[str, typer.Option(help="Numbers of threads; default: one a core.")] = "",
    clips: Annotated[int, typer.Option(help="Clips of each short length; fewer of long ones.", min=1)] = 16,
    language: Annotated[str, typer.Option(help="Prompted in every program.")] = "ms",
    context: Annotated[str, typer.Option(help="Ours: full, trim, or auto.")] = "auto",
    peers: Annotated[
        str, typer.Option(help="auto, none, or some of faster-whisper, transformers, openai-whisper.")
    ] = "auto",
    max_new_tokens: Annotated[int, typer.Option(help="Longest transcript of a window, everywhere.", min=1)] = 224,
    as_json: Json = False,
) -> None:
    """Measure speed, latency and memory by clip length, beside other programs on the same model and sound.

    Example: `rojak bench export/ct2-int8 --data data`
    """
    from rojak.export.bench.bench import BenchOptions, write_bench
    from rojak.export.bench.bench import bench as run
    from rojak.export.bench.show import to_table

    check_choice("--context", context, ("auto", "full", "trim"))
    options = BenchOptions(
        lengths_s=_numbers("--lengths", lengths, 0.5, 3600),
        batches=tuple(int(n) for n in _numbers("--batch", batches, 1, 512)),
        threads=tuple(int(n) for n in _numbers("--threads", threads, 1, 512)) if threads else (),
        most_clips=clips,
        language=language,
        context=None if context == "auto" else context,
        peers=None if peers == "auto" else () if peers == "none" else tuple(peers.split(",")),
        data_dir=data,
        max_new_tokens=max_new_tokens,
    )
    with err.status("bench") as status:
        result = run(models, options, lambda step: status.update(f"bench: {step}"))
    if not result.rows:
        raise RojakError(f"Nothing was measured. {' '.join(result.left_out.values())}")
    write_bench(result, out_dir)
    if as_json:
        print_json(result.to_json())
        return
    out.print(to_table(result))
    for name, why in result.left_out.items():
        out.print(f"Left out: {name}: {why}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"{out_dir / 'bench.json'}, bench.md, bench.png", highlight=False, soft_wrap=True)


def _numbers(flag: str, text: str, low: float, high: float) -> tuple[float, ...]:
    """Read numbers with commas, each within limits."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(low <= number <= high for number in found):
        raise InputError(f"{flag} {text!r}: write numbers from {low:g} to {high:g} with commas between them.")
    return found


@app.command(name="package")
def package_(
    model: Annotated[str | None, typer.Argument(help="A run, a model folder, rojak-micro, or a hub id.")] = None,
    out_dir: Annotated[Path | None, typer.Argument(help="New folder; OUT.tar is written beside it.")] = None,
    exports: Annotated[str, typer.Option(help="FORMAT:DTYPE with commas; the merged model always comes.")] = "ct2:int8",
    data: Annotated[
        Path | None, typer.Option(help="Prepared data to verify and measure on; default: the run's, or made speech.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder of `rojak evaluate`; default: in the run or beside it.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare every export with the original.")] = True,
    measure: Annotated[bool, typer.Option("--bench/--no-bench", help="Measure speed beside other programs.")] = True,
    example: Annotated[Path | None, typer.Option(help="A recording to put in; default: a synthetic voice.")] = None,
    language: Annotated[str, typer.Option(help="Prompted in the examples.")] = "ms",
    max_clips: Annotated[int, typer.Option(help="Clips to verify with.", min=1)] = 128,
    max_new_tokens: Annotated[int, typer.Option(help="Longest transcript of a clip while verifying.", min=1)] = 224,
    tar: Annotated[bool, typer.Option(help="Write OUT.tar too.")] = True,
    check: Annotated[
        Path | None,
        typer.Option(help="Check a package instead of making one: its folder, with the tar beside it, or a tar."),
    ] = None,
) -> None:
    """Put a finished model into one folder to hand over: exports, card, results, licences, checksums.

    Example: `rojak package runs/first first-package --exports ct2:int8,onnx:int8`
    """
    if check is not None:
        from rojak.export.package.check import check_package

        beside = check.with_name(f"{check.name}.tar")
        warnings = check_package(check)
        out.print(f"{check}: every file is there and unchanged.", highlight=False, soft_wrap=True)
        if check.is_dir() and beside.is_file():
            check_package(beside)
            out.print(f"{beside}: every file is there and unchanged.", highlight=False, soft_wrap=True)
        _warn(warnings)
        return
    if model is None or out_dir is None:
        raise InputError(
            "Give a model and a folder to write: `rojak package RUN OUT`; or `rojak package --check DIR|TAR`."
        )
    from rojak.export.bench.bench import BenchOptions
    from rojak.export.package.package import PackageOptions
    from rojak.export.package.package import package as run

    speed = BenchOptions(lengths_s=(4.0, 30.0), most_clips=8, language=language, data_dir=data) if measure else None
    options = PackageOptions(
        exports=tuple(exports.split(",")) if exports else (),
        data_dir=data,
        evaluation=evaluation,
        max_clips=max_clips,
        max_new_tokens=max_new_tokens,
        verify=verify,
        bench=speed,
        example=example,
        language=language,
        tar=tar,
    )
    with err.status("package") as status:
        result = run(model, out_dir, options, lambda step: status.update(f"package: {step}"))
    size = f"{result.bytes / 1e6:.1f} MB"
    out.print(f"{result.out_dir}: {', '.join(result.exports)}; {size}.", highlight=False, soft_wrap=True)
    _warn(result.warnings)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        out.print(f"Warning: {warning}", style="bold yellow", highlight=False, markup=False, soft_wrap=True)
