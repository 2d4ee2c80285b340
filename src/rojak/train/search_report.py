"""The page about a search: its trials as a table, their history, what mattered, and how values go together.

Writes OUT/tune.html, one self-contained file.
"""

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import TrialState

from rojak.evaluate.metrics import METRICS
from rojak.evaluate.report.html import Html, element, join
from rojak.runs import write_bytes

REPORT_FILE = "tune.html"
FEWEST = 3
"""Trials that must have come to their end before anything can be said about importance."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1000px; padding: 0 1rem; color: #1c2024; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #e2e4e0; }
img { max-width: 100%; }
"""


@dataclass(frozen=True)
class TrialRow:
    """A trial as it is told."""

    number: int
    state: str
    values: dict[str, Any]
    metric: float | None
    """The best that was reached; for trials that were cut off, the last."""
    reason: str | None


def write_search_report(study: optuna.Study, rows: Sequence[TrialRow], metric: str, path: Path) -> None:
    """Write the page.

    Args:
        study: Of which less is better.
        rows: Trials, best first.
        metric: Name of the choosing measure.
        path: Of the HTML file.

    Raises:
        InputError: It cannot be written.
    """
    title = METRICS[metric].title
    parts = [element("h1", "Search for settings"), element("h2", "Trials"), _table(rows, title)]
    complete = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    if complete < FEWEST:
        parts.append(element("p", f"Pictures need {FEWEST} trials that came to their end; there are {complete}."))
    else:
        for heading, draw in (
            ("History", _history),
            ("What mattered", _importance),
            ("Values together", _parallel),
        ):
            parts += [element("h2", heading), _picture(draw, study, title, heading)]
    head = join([element("meta", charset="utf-8"), element("title", "Search"), element("style", Html(STYLE))])
    page = join([Html("<!doctype html>"), element("html", element("head", head), element("body", *parts), lang="en")])
    write_bytes(path, page.encode())


def _table(rows: Sequence[TrialRow], title: str) -> Html:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    head = element("tr", *(element("th", text) for text in ("Trial", *names, title, "How it went")))
    lines = []
    for row in rows:
        cells = [str(row.number), *(_value(row.values.get(name)) for name in names)]
        cells += [
            "–" if row.metric is None else f"{row.metric:.1%}",
            row.state + (f": {row.reason}" if row.reason else ""),
        ]
        lines.append(element("tr", *(element("td", text) for text in cells)))
    return element("table", element("thead", head), element("tbody", *lines))


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)


def _picture(draw: Callable[[optuna.Study, str], Any], study: optuna.Study, title: str, heading: str) -> Html:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with warnings.catch_warnings():
        # Optuna's drawings call themselves experimental, and matplotlib complains about their ticks.
        warnings.simplefilter("ignore")
        axes = draw(study, title)
        _tidy(axes)
        image = io.BytesIO()
        axes.figure.savefig(image, format="png", dpi=120, bbox_inches="tight")
        pyplot.close("all")
    data = base64.b64encode(image.getvalue()).decode("ascii")
    return element("img", src=f"data:image/png;base64,{data}", alt=heading)


def _tidy(axes: Any) -> None:
    """Take away what the page's headings say already, and colours that cannot be seen on the ground."""
    from matplotlib.colors import LinearSegmentedColormap

    for place in ("left", "center"):
        axes.set_title("", loc=place)
    axes.set_facecolor("white")
    axes.grid(color="0.9")
    if axes.get_legend() is not None:
        axes.get_legend().remove()
    for lines in axes.collections:
        if lines.get_array() is not None:  # parallel coordinates: from the best to the worst; the worst was white
            lines.set_cmap(LinearSegmentedColormap.from_list("seen", ["#08306b", "#4292c6", "#e08e45"]))
            lines.set_linewidth(2)
    axes.figure.set_size_inches(9, 4.5)


def _history(study: optuna.Study, title: str) -> Any:
    return optuna.visualization.matplotlib.plot_optimization_history(study, target=_shown, target_name=f"{title} (%)")


def _importance(study: optuna.Study, title: str) -> Any:
    # The other evaluators need scikit-learn.
    return optuna.visualization.matplotlib.plot_param_importances(
        study, evaluator=PedAnovaImportanceEvaluator(), target_name=title
    )


def _parallel(study: optuna.Study, title: str) -> Any:
    return optuna.visualization.matplotlib.plot_parallel_coordinate(study, target=_shown, target_name=f"{title} (%)")


def _shown(trial: optuna.trial.FrozenTrial) -> float:
    assert trial.value is not None
    return 100 * abs(trial.value)
