"""Commands around training: doctor, estimate, lr-find, tune, watch."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rojak.cli.app import Json, app, err, out, print_json

if TYPE_CHECKING:
    from rojak.config.schema import TrainConfig
    from rojak.train.estimate import GpuTable, OnGpu, Variant

Config = Annotated[Path, typer.Argument(help="YAML file; see configs/.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Such as lora_r=64 windows.mode=trim.")]
DatasetPath = Annotated[str | None, typer.Option("--dataset-path", "--dataset_path", help="Prepared data.")]
LR_FIND_DIR, TUNE_DIR = Path("lr-find"), Path("tune")


def _load(config: Path, overrides: list[str] | None, dataset_path: str | None = None) -> "TrainConfig":
    from rojak.config.load import load_config
    from rojak.config.schema import TrainConfig

    return load_config(TrainConfig, config, overrides or (), dataset_path=dataset_path)


@app.command()
def doctor(
    target: Annotated[
        Path | None, typer.Argument(help="A configuration, or a folder with prepared data, to try in small.")
    ] = None,
    overrides: Overrides = None,
    dataset_path: DatasetPath = None,
    as_json: Json = False,
) -> None:
    """See whether everything is there to train; each ✗ says how to mend it, and the exit code is 1.

    Example: `rojak doctor configs/demo.yaml --dataset-path data`
    """
    config = None
    if target is not None and target.is_dir():
        from rojak.config.schema import TrainConfig

        config = TrainConfig(dataset_path=str(target), output_dir="runs/doctor")
    elif target is not None:
        config = _load(target, overrides, dataset_path)
    from rojak.train.doctor import Check, examine_machine, examine_run

    found: list[Check] = []
    for check in (
        *examine_machine(Path(config.output_dir) if config else Path()),
        *(examine_run(config) if config else ()),
    ):
        found.append(check)
        if not as_json:
            mark, style = {"ok": ("✓", "green"), "bad": ("✗", "red"), "absent": ("–", "dim")}[check.state]
            mend = f" → {check.mend}" if check.mend else ""
            out.print(f"{mark} {check.name}: {check.detail}{mend}", style=style, highlight=False, markup=False)
    if as_json:
        print_json([asdict(check) for check in found])
    if any(check.state == "bad" for check in found):
        raise typer.Exit(1)


@app.command()
def estimate(
    config: Config,
    overrides: Overrides = None,
    dataset_path: DatasetPath = None,
    hours: Annotated[float | None, typer.Option(help="Hours of speech, where there are no data yet.", min=0.01)] = None,
    gpus: Annotated[Path | None, typer.Option(help="Your own table of GPUs and prices; see docs/settings.md.")] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU on which the variants are compared.")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a few steps on this machine.")] = False,
    as_json: Json = False,
) -> None:
    """Tell memory, steps, hours and cost of a run on common GPUs before anything runs.

    Example: `rojak estimate configs/large-v3-lora.yaml --hours 50`
    """
    from rojak.errors import InputError

    settings = _load(config, overrides, dataset_path)
    if calibrate and hours is not None:
        raise InputError("--calibrate trains on real clips; give prepared data with --dataset-path instead of --hours.")
    from rojak.train.calibrate import calibrate as measure
    from rojak.train.estimate import estimate as run
    from rojak.train.estimate import read_gpus
    from rojak.train.workload import read_data

    table = read_gpus(gpus)
    if gpu is not None and gpu not in table.gpus:
        raise InputError(f"--gpu {gpu!r}: the table has {', '.join(table.gpus)}.")
    data = read_data(settings, hours)
    measured = measure(settings, data) if calibrate else None
    variants = run(settings, data, table, measured)
    if as_json:
        print_json({"currency": table.currency, "variants": [asdict(variant) for variant in variants]})
        return
    _print_configured(variants[0], table, made=hours is not None)
    _print_variants(variants, table, gpu or _cheapest(variants[0]))
    if measured:
        out.print(
            f"Measured on {measured.device}: {len(measured.measured)} micro-batches. Hours here are those of the "
            "training steps; validations come on top.",
            highlight=False,
        )
    else:
        out.print(
            "Hours are a sum from the GPUs' peaks and an assumed utilisation, for the training steps alone; nothing "
            "was measured (see docs/settings.md).",
            style="dim",
            highlight=False,
        )


def _cheapest(variant: "Variant") -> str:
    fitting = [one for one in variant.on_gpus if one.fits]
    return min(fitting, key=lambda one: one.cost or 0.0).gpu if fitting else variant.on_gpus[0].gpu


def _print_configured(variant: "Variant", table: "GpuTable", *, made: bool) -> None:
    from rich.table import Table

    share = variant.trained_parameters / variant.total_parameters
    origin = " (made clips of 4.2 s on average)" if made else ""
    out.print(
        f"{variant.adapter}, windows {variant.mode}: {variant.trained_parameters / 1e6:.1f} M of "
        f"{variant.total_parameters / 1e6:.1f} M parameters are trained ({share:.1%}); {variant.num_steps} steps over "
        f"{variant.speech_hours:.1f} h of speech{origin}, {variant.padded_hours:.1f} h with padding; "
        f"{variant.pflop:,.3g} PFLOP.",
        highlight=False,
    )
    shown = Table(box=None, header_style="bold")
    for name in ("GPU", "peak memory", "hours", table.currency, ""):
        shown.add_column(name, justify="left" if name in ("GPU", "") else "right")
    for one in variant.on_gpus:
        shown.add_row(one.gpu, f"{one.peak_gb:.1f} GB", _hours(one.hours), _money(one), one.advice or "")
    out.print(shown)
    if variant.here_hours is not None:
        out.print(f"On this machine: {_hours(variant.here_hours)} h.", highlight=False)


def _print_variants(variants: "list[Variant]", table: "GpuTable", gpu: str) -> None:
    from rich.table import Table

    here = any(variant.here_hours is not None for variant in variants)
    shown = Table(box=None, header_style="bold", title=f"Variants on {gpu}", title_justify="left")
    heads = ["adapter", "windows", "padded hours", "peak memory", "hours", table.currency]
    for name in [*heads, *(["hours here"] if here else []), ""]:
        # The settings that make it fit stay whole on 80 columns.
        width = len("gradient_checkpointing: on") if not name else None
        shown.add_column(name, justify="left" if name in ("adapter", "windows", "") else "right", min_width=width)
    for variant in variants:
        one = next(found for found in variant.on_gpus if found.gpu == gpu)
        cells = [variant.adapter, variant.mode, f"{variant.padded_hours:.1f}", f"{one.peak_gb:.1f} GB"]
        cells += [_hours(one.hours), _money(one), *([_hours(variant.here_hours)] if here else []), one.advice or ""]
        shown.add_row(*cells, style="bold" if variant.configured else None)
    out.print(shown)


def _hours(hours: float | None) -> str:
    return "–" if hours is None else f"{hours:.2f}" if hours >= 0.1 else f"{hours:.4f}"


def _money(one: "OnGpu") -> str:
    return "–" if one.cost is None else f"{one.cost:.2f}"


@app.command()
def lr_find(
    config: Config,
    overrides: Overrides = None,
    dataset_path: DatasetPath = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for plot and points.")] = LR_FIND_DIR,
    steps: Annotated[int, typer.Option(help="Steps over which the rate rises.", min=20)] = 100,
    lowest: Annotated[float, typer.Option(help="First rate.", min=1e-12)] = 1e-6,
    highest: Annotated[float, typer.Option(help="Last rate.", min=1e-11)] = 1.0,
    as_json: Json = False,
) -> None:
    """Find a learning rate: raise it on a copy of the model and see where the loss falls and where it breaks.

    Example: `rojak lr-find configs/demo.yaml --dataset-path data`
    """
    from rojak.errors import InputError

    if lowest >= highest:
        raise InputError(f"--lowest {lowest:g} must be below --highest {highest:g}.")
    settings = _load(config, overrides, dataset_path)
    from rich.progress import Progress

    from rojak.train.lr_finder import find_learning_rate, write_finding
    from rojak.train.stages import open_training_data

    data = open_training_data(settings)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("raising the rate", total=steps)
        finding = find_learning_rate(
            settings,
            data,
            num_steps=steps,
            lowest=lowest,
            highest=highest,
            on_step=lambda done: progress.update(task, completed=done),
        )
    points, plot = write_finding(finding, out_dir)
    if as_json:
        print_json({**asdict(finding), "csv": str(points), "png": str(plot)})
        return
    ending = f"it broke beyond {finding.rates[-1]:.1e}" if finding.diverged else "it never broke"
    out.print(
        f"Safe:     learning_rate: {finding.safe:.1e}\n"
        f"Steepest: learning_rate: {finding.steepest:.1e}\n"
        f"The loss was {finding.smoothed[0]:.2f} at the start and {min(finding.smoothed):.2f} at its lowest; {ending}. "
        f"Plot: {plot}, points: {points}.",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def tune(
    config: Config,
    overrides: Overrides = None,
    space: Annotated[Path, typer.Option(help="YAML file; see configs/tune-grid.yaml.")] = Path(
        "configs/tune-grid.yaml"
    ),
    dataset_path: DatasetPath = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the search.")] = TUNE_DIR,
    share: Annotated[
        float, typer.Option(help="Share of the steps, and so of the data, that a trial trains on.", min=0.001, max=1)
    ] = 1.0,
    prune: Annotated[bool, typer.Option(help="Cut off trials that are worse than the median.")] = True,
    as_json: Json = False,
) -> None:
    """Search for settings; the same command continues, and several processes may work on one folder.

    Example: `rojak tune configs/large-v3-lora.yaml --space configs/tune-grid.yaml --share 0.1`
    """
    settings = _load(config, overrides, dataset_path)
    from rojak.evaluate.metrics import METRICS
    from rojak.train.search import tune as run
    from rojak.train.space import read_space

    found = run(
        settings,
        read_space(space),
        out_dir,
        share=share,
        prune=prune,
        tell=lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True),
    )
    if as_json:
        print_json({"metric": found.metric, "best": str(found.best_path), "trials": [asdict(t) for t in found.trials]})
        return
    from rich.table import Table

    names = list(dict.fromkeys(name for trial in found.trials for name in trial.values))
    shown = Table(box=None, header_style="bold")
    for name in ("trial", *names, METRICS[found.metric].title, ""):
        shown.add_column(name)
    for trial in found.trials:
        metric = "–" if trial.metric is None else f"{trial.metric:.1%}"
        told = trial.state + (f": {trial.reason}" if trial.reason else "")
        shown.add_row(str(trial.number), *(_setting(trial.values.get(name)) for name in names), metric, told)
    out.print(shown)
    out.print(
        f"The best settings are in {found.best_path}; more in {out_dir / 'tune.html'}.", highlight=False, soft_wrap=True
    )


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)


@app.command()
def watch(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    once: Annotated[bool, typer.Option("--once", help="Show the present state and return.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between readings.", min=0.1)] = 2.0,
) -> None:
    """See a run while it trains, or afterwards: curves, speed, decoded samples, warnings. Reads its log only.

    Example: `rojak watch runs/first`
    """
    from rojak.train.watch import watch as show

    show(run, out, once=once, interval_s=interval)
