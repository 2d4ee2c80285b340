"""Commands on transcripts, of any system and without audio: score, compare, tag."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rojak.cli.app import Fold, Json, app, out, parse_fold, print_json
from rojak.errors import InputError
from rojak.runs import explain_os_error


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or TSV with audio_id, reference and hypothesis.")],
    references: Annotated[Path | None, typer.Option(help="Take the references from this file, by audio_id.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write every measure to this file.")] = None,
    allow_empty: Annotated[bool, typer.Option(help="Take empty references as clips without speech.")] = False,
    fold: Fold = "none",
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
    scores = run(file, references, ScoreOptions(text=parse_fold(fold), slices=slices), allow_empty)
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
    allow_empty: Annotated[bool, typer.Option(help="Take empty references as clips without speech.")] = False,
    fold: Fold = "none",
    by: Annotated[list[str] | None, typer.Option(help="Show WER by this slicing; repeatable.")] = None,
    show: Annotated[int, typer.Option(help="Utterances shown that got better, and that got worse.", min=0)] = 5,
    as_json: Json = False,
) -> None:
    """Compare systems on the same utterances: differences with intervals, P(better), significance, what changed.

    Example: `rojak compare evaluation/base/predictions.jsonl evaluation/predictions.jsonl`
    """
    from rojak.evaluate.compare import compare as run
    from rojak.evaluate.score import ScoreOptions, score
    from rojak.evaluate.show import compared_slice_table, comparison_table, describe_change

    if len(files) < 2:
        raise InputError("Give at least two files to compare.")
    slices = ScoreOptions().slices
    slices = (*slices, *(name for name in by or [] if name not in slices))
    options = ScoreOptions(text=parse_fold(fold), resamples=0, slices=slices)
    systems = [score(file, references, options, allow_empty) for file in files]
    found = run(systems)
    if as_json:
        print_json([comparison.to_json() for comparison in found])
        return
    for note in dict.fromkeys(note for system in systems for note in system.notes):
        out.print(note, highlight=False, markup=False, soft_wrap=True)
    for second, comparison in zip(systems[1:], found, strict=True):
        out.print(comparison_table(comparison))
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
    model: Annotated[
        Path | None, typer.Option(help="Folder with a Hugging Face classifier to tag in the built-in tagger's place.")
    ] = None,
) -> None:
    """Give every word its language: ms, en, zh, ta, particle or other, as JSON Lines.

    Example: `echo "Can you tolong check this lah" | rojak tag`
    """
    from rojak.text.language import load_tagger, tag_lines

    if model is not None and words:
        raise InputError("Give --words or --model: word lists are for the built-in tagger.")
    tagger: Any = load_tagger(tuple(words) if words else None)
    if model is not None:
        from rojak.text.classifier import load_classifier

        tagger = load_classifier(model)
    try:
        lines = file.open(encoding="utf-8") if file else sys.stdin
        with lines:
            for row in tag_lines(lines, tagger):
                print(json.dumps(row, ensure_ascii=False))  # noqa: T201
    except BrokenPipeError:  # the reader of our output has had enough
        raise
    except OSError as error:
        raise explain_os_error(error, file or Path("standard input")) from error
    except UnicodeDecodeError:
        raise InputError(f"{file or 'Standard input'} is not UTF-8 text; save it as UTF-8.") from None
