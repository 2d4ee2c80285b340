"""Commands on data: synthesize, prepare, inspect."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rojak.cli.app import Json, Workers, app, as_plain, out, parse_pair, print_json, show_hours


@app.command()
def synthesize(
    out_dir: Annotated[Path, typer.Argument(help="New folder for the corpus.")],
    hours: Annotated[float, typer.Option(help="Hours of all splits together.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = 1,
    clean_monolingual: Annotated[
        bool, typer.Option(help="Four languages, each by itself, without particles and noise.")
    ] = False,
    noisy_share: Annotated[
        float | None,
        typer.Option(help="Share of utterances with added noise; default: 0.25; clean: 0."),
    ] = None,
    speakers: Annotated[int, typer.Option(help="Synthetic speakers, at least 24.")] = 48,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Make Malaysian speech with exact labels: words, languages, times, speakers, noise at a known ratio.

    Example: `rojak synthesize corpus --hours 1 --seed 7`
    """
    from rojak.data.synthesis_plan import CLEAN_MONOLINGUAL, Settings
    from rojak.data.synthesize import synthesize as run

    settings = replace(CLEAN_MONOLINGUAL if clean_monolingual else Settings(), num_speakers=speakers)
    if noisy_share is not None:
        settings = replace(settings, noisy_share=noisy_share)
    summary = run(out_dir, hours, seed, settings=settings, workers=workers)
    if as_json:
        print_json(as_plain(summary))
        return
    done = "already there" if summary.already_there else f"made in {summary.elapsed_s:.0f} s"
    counts = ", ".join(
        f"{split} {n} ({show_hours(summary.hours[split])})" for split, n in summary.num_utterances.items()
    )
    out.print(f"{out_dir}: {counts}; {summary.num_speakers} speakers; {done}.", highlight=False, soft_wrap=True)


@app.command()
def prepare(
    source: Annotated[
        str, typer.Argument(help="Folder or manifest with recordings and transcripts, or hf:OWNER/NAME; docs/data.md.")
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the prepared data.")],
    model: Annotated[
        str | None, typer.Option(help="Whose tokens are counted against Whisper's limit of 448; default: rojak-micro.")
    ] = None,
    allow_bad: Annotated[
        float | None, typer.Option(help="Share of refused clips above which the command stops; default: 0.05.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split, where none is given; default: 0.", min=0)] = None,
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
    from rojak.model.names import MICRO_NAME, token_counter

    columns = dict(parse_pair(text) for text in column or []) or None
    flags = {"allow_bad": allow_bad, "seed": seed, "columns": columns, "kind": kind, "audio_root": audio_root}
    named = [f"tokenizer={MICRO_NAME}", *(setting or [])]
    settings = load_config(PrepareSettings, None, named, tokenizer=model, split_long=split_long, **flags)
    if audit_with is not None:
        from rojak.evaluate.audit import audit_summary, check_auditor

        check_auditor(audit_with)
    summary = run(
        source,
        out_dir,
        settings=settings,
        workers=workers,
        count_tokens=token_counter(settings.tokenizer or MICRO_NAME),
        show_progress=True,
    )
    if audit_with is not None:
        summary = audit_summary(summary, audit_with, settings)
    if as_json:
        print_json(as_plain(summary))
        return
    counts = ", ".join(f"{split} {n} ({show_hours(summary.hours[split])})" for split, n in summary.clips.items())
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
    clip: Annotated[list[str] | None, typer.Option(help="Show the clip of this audio_id first; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Look prepared data over: suspicious and refused clips with players, hours, histograms, particles, switches.

    Example: `rojak inspect data --source my-recordings`
    """
    from rojak.evaluate.inspect import inspect as run
    from rojak.evaluate.inspect import recorded_counter, survey_document

    survey, path = run(data, page, source=source, count_tokens=recorded_counter(data), clips=clip or ())
    if as_json:
        print_json(survey_document(survey))
        return
    out.print(
        f"{survey.clips} clips, {show_hours(survey.hours)}; {len(survey.refusals)} refused, {len(survey.suspicious)} "
        f"suspicious. Page: {path}",
        highlight=False,
        soft_wrap=True,
    )
