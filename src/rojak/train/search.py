"""Search for settings with Optuna: many short runs, bad ones cut off, nothing lost when it is stopped.

Reads a configuration, its data and a space; writes

    OUT/study.jsonl      every trial, appended to; several processes may work on it at once
    OUT/trials/0003/     a run directory for each trial
    OUT/best.yaml        the configuration with the best values, ready for `rojak train`
    OUT/tune.html        history, importance and parallel coordinates
"""

import fcntl
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError, RojakError, TrainingError
from rojak.evaluate.metrics import METRICS
from rojak.runs import explain_os_error, write_bytes
from rojak.train.loop import train
from rojak.train.memory import is_out_of_memory
from rojak.train.runlog import events
from rojak.train.search_report import REPORT_FILE, TrialRow, write_search_report
from rojak.train.space import Range, Space, Value, apply, shortened

STUDY_FILE, BEST_FILE = "study.jsonl", "best.yaml"
STUDY = "rojak"
RESUMED = "resumed"
"""Mark of a trial whose process died; another one goes on in its folder."""
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Tuning:
    """What a search has found so far."""

    trials: list[TrialRow]
    best: TrialRow
    metric: str
    best_path: Path


def tune(
    config: TrainConfig,
    space: Space,
    out_dir: Path,
    *,
    share: float = 1.0,
    prune: bool = True,
    tell: Callable[[str], None] = print,
) -> Tuning:
    """Try settings until the space's number of trials is done; the same call continues, also in several processes.

    Args:
        config: What is varied.
        space: Settings and their values.
        out_dir: Of the search.
        share: Of the configured steps that a trial takes.
        prune: Cut off trials whose validations are worse than the median of those before.
        tell: Takes a line a trial.

    Raises:
        RojakError: The space does not fit the configuration, or the folder holds another search.
        SystemExit: Ctrl-C or SIGTERM; the running trial will be taken up again.
    """
    for values in space.grid() if space.sampler == "grid" else [_corner(space)]:
        apply(config, space, values)  # every name and value is checked before anything runs
    study = _open(config, space, out_dir, share, prune=prune)
    while (trial := _next(study, space, config.seed, out_dir)) is not None:
        settings = {name: trial.params[name] for name in space.parameters}
        tell(f"Trial {trial.number}: {_describe(settings)}")
        tell(f"Trial {trial.number} {_run(study, trial, config, space, settings, out_dir, share)}")
    return summarize(study, config, space, out_dir)


def _corner(space: Space) -> dict[str, Value]:
    return {name: values.low if isinstance(values, Range) else values[0] for name, values in space.parameters.items()}


def _open(config: TrainConfig, space: Space, out_dir: Path, share: float, *, prune: bool) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with _alone(out_dir):
            study = optuna.create_study(
                study_name=STUDY,
                storage=JournalStorage(JournalFileBackend(str(out_dir / STUDY_FILE))),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            varied = {*space.parameters, *space.tied, "output_dir"}
            about = {"space": space.model_dump(mode="json"), "share": share, "config": _without(config, varied)}
            known = study.user_attrs
            changed = sorted(name for name, value in about.items() if name in known and known[name] != value)
            if changed:
                raise ConfigError(
                    f"{out_dir} holds a search with another {' and '.join(changed)}; choose another --out, or give the "
                    "same settings to continue it."
                )
            if not known:
                for name, value in about.items():
                    study.set_user_attr(name, value)
                for values in space.grid() if space.sampler == "grid" else []:
                    study.enqueue_trial(values)
            _take_up_dead(study)
    except OSError as error:
        raise explain_os_error(error, out_dir) from error
    return study


def _without(config: TrainConfig, names: set[str]) -> dict[str, Any]:
    varied = {name.partition(".")[0] for name in names}
    return {name: value for name, value in config.model_dump(mode="json").items() if name not in varied}


@contextmanager
def _alone(out_dir: Path) -> Iterator[None]:
    """Hold the search's lock for a moment, so that two processes never begin the same trial."""
    with (out_dir / "LOCK").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _take_up_dead(study: optuna.Study) -> None:
    """Queue trials again whose process on this machine is gone; in their folder they continue from their checkpoint."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = trial.user_attrs.get("owner", {})
        if owner.get("host") == socket.gethostname() and not _lives(int(owner["pid"])):
            Trial(study, trial._trial_id).set_user_attr(RESUMED, True)
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"folder": trial.user_attrs["folder"]})


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _next(study: optuna.Study, space: Space, seed: int, out_dir: Path) -> Trial | None:
    """Begin the next trial, or give None when all have been begun."""
    with _alone(out_dir):
        trials = study.get_trials(deepcopy=False)
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        begun = len({trial.user_attrs.get("folder") for trial in trials if trial.state != TrialState.WAITING})
        if not waiting and (space.sampler == "grid" or begun >= space.size):
            return None
        # A seed of its own for each trial: several processes, or a continued search, do not draw the same twice.
        if space.sampler == "tpe":
            study.sampler = optuna.samplers.TPESampler(seed=seed + len(trials), constant_liar=True, n_startup_trials=5)
        else:
            study.sampler = optuna.samplers.RandomSampler(seed=seed + len(trials))
        trial = study.ask()
        for name, values in space.parameters.items():
            _suggest(trial, name, values)
        trial.set_user_attr("owner", {"host": socket.gethostname(), "pid": os.getpid()})
        if "folder" not in trial.user_attrs:
            trial.set_user_attr("folder", f"trials/{trial.number:04d}")
        return trial


def _suggest(trial: Trial, name: str, values: list[Value] | Range) -> None:
    if isinstance(values, list):
        trial.suggest_categorical(name, values)
    elif isinstance(values.low, int) and isinstance(values.high, int):
        trial.suggest_int(name, values.low, values.high, log=values.log)
    else:
        trial.suggest_float(name, values.low, values.high, log=values.log)


def _run(
    study: optuna.Study,
    trial: Trial,
    config: TrainConfig,
    space: Space,
    settings: dict[str, Value],
    out_dir: Path,
    share: float,
) -> str:
    """Train a trial to its end, a bad validation, or an error that is written down; say how it went."""
    folder = out_dir / trial.user_attrs["folder"]
    reports = len(events(folder, ("validation",)))

    def on_validation(step: int, badness: float) -> None:
        nonlocal reports
        if not math.isfinite(badness):
            return
        # Validations are counted, not steps: trials of other batch sizes take other numbers of steps.
        trial.report(badness, reports)
        reports += 1
        if trial.should_prune():
            raise optuna.TrialPruned(f"step {step}")

    try:
        chosen = apply(shortened(config, share), space, settings)
        chosen = chosen.model_copy(update={"output_dir": str(folder)})
        summary = train(chosen, on_validation=on_validation)
    except optuna.TrialPruned as pruned:
        study.tell(trial, state=TrialState.PRUNED)
        return f"was cut off at {pruned}: worse than the median of the trials before."
    except (RojakError, RuntimeError, MemoryError) as error:
        if not isinstance(error, RojakError) and not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "out of memory"
        trial.set_user_attr("reason", reason)
        study.tell(trial, state=TrialState.FAIL)
        return f"failed: {reason}"
    metric = METRICS[config.validation.metric]
    study.tell(trial, -summary.best_metric if metric.better == "higher" else summary.best_metric)
    return f"reached {metric.title} {summary.best_metric:.1%}."


def _describe(settings: dict[str, Any]) -> str:
    shown = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _row(trial: FrozenTrial) -> TrialRow:
    # Less is better in the study; measures of which more is better are in it with a minus.
    value = trial.value if trial.state == TrialState.COMPLETE else None
    if trial.state == TrialState.PRUNED and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return TrialRow(
        number=trial.number,
        state=STATES[trial.state],
        values=trial.params or trial.system_attrs.get("fixed_params", {}),
        metric=None if value is None else abs(value),
        reason=trial.user_attrs.get("reason"),
    )


def summarize(study: optuna.Study, config: TrainConfig, space: Space, out_dir: Path) -> Tuning:
    """Give all trials, best first, and write `best.yaml`.

    Raises:
        TrainingError: Trials have ended and none of them well.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if RESUMED not in trial.user_attrs]
    order = {TrialState.COMPLETE: 0, TrialState.PRUNED: 1, TrialState.RUNNING: 2, TrialState.WAITING: 3}
    trials.sort(key=lambda trial: (order.get(trial.state, 4), trial.value if trial.value is not None else 0.0))
    rows = [_row(trial) for trial in trials]
    if not rows or rows[0].state != "complete":
        reasons = "; ".join(dict.fromkeys(row.reason for row in rows if row.reason))
        raise TrainingError(f"No trial came to its end ({reasons or 'none was begun'}); change the space.")
    chosen = apply(config, space, {name: rows[0].values[name] for name in space.parameters})
    path = out_dir / BEST_FILE
    text = yaml.safe_dump(chosen.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_bytes(
        path, f"# The best of {len(rows)} trials of `rojak tune`, with the full number of steps.\n{text}".encode()
    )
    write_search_report(study, rows, config.validation.metric, out_dir / REPORT_FILE)
    return Tuning(rows, rows[0], config.validation.metric, path)
