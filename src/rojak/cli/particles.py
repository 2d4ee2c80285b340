"""The command that teaches a model to put dropped particles back."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rojak.cli.app import Json, app, check_choice, out, print_json


@app.command("fit-particles")
def fit_particles_(
    model: Annotated[str, typer.Argument(help="A run, an adapter or a model folder on this machine.")],
    data: Annotated[Path, typer.Argument(help="Folder written by `rojak prepare`, on which the model was trained.")],
    context: Annotated[str, typer.Option(help="full (30 s) or trim: as the model will be used.")] = "full",
    precision: Annotated[
        float, typer.Option(help="Share of restored particles that must be right in validation.", min=0.5, max=0.99)
    ] = 0.9,
    max_utterances: Annotated[int, typer.Option(help="Training clips to learn from.", min=40)] = 500,
    as_json: Json = False,
) -> None:
    """Learn when a particle was said that the model did not write; writes restoration.json beside its weights.

    Example: `rojak fit-particles runs/first data`
    """
    from rojak.train.fit_particles import FitOptions, fit_particles

    check_choice("--context", context, ("full", "trim"))
    options = FitOptions("trim" if context == "trim" else "full", max_utterances, precision)
    restoration, path = fit_particles(model, data, options)
    if as_json:
        print_json(asdict(restoration))
        return
    told = restoration.fitted_on
    out.print(
        f"{path}: in validation {told['validation_right']} of {told['validation_particles']} particles taken out come "
        f"back, {told['validation_restored'] - told['validation_right']} wrong ones with them. Evaluate and transcribe "
        "now restore particles; remove the file to stop that.",
        highlight=False,
        soft_wrap=True,
    )
    if restoration.threshold >= 1:
        out.print("No threshold reached the wanted precision: nothing will be restored.", highlight=False)
