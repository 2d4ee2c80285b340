"""Learning curves from a run's `log.jsonl`: loss, validation WER, learning rate, with the stages marked."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rojak.evaluate.report.charts import Axis, Band, Line, Point, panel
from rojak.evaluate.report.figures import number
from rojak.evaluate.report.html import Html, element, join
from rojak.runs import read_jsonl

MAX_POINTS = 400
"""Points drawn of a curve; more are averaged in groups."""

_WER_CEILING = 1.2
_HEADROOM = 1.06
_SMOOTH_FROM = 60
_SMOOTH_SHARE = 0.06


def curves_section(run_log: Path | None) -> Html:
    """Draw the curves of a run.

    Args:
        run_log: JSON Lines with events `train` (step, loss, learning_rate, stage) and `validation` (step, wer, stage).

    Raises:
        InputError: The log is damaged.
    """
    rows = [] if run_log is None else read_jsonl(run_log)
    train = [row for row in rows if row.get("event") == "train" and _is_number(row.get("step"))]
    checks = [row for row in rows if row.get("event") == "validation" and _is_number(row.get("step"))]
    if not train and not checks:
        return element("p", "No log of a training run was given.", class_="none")
    bands = stage_bands([*train, *checks])
    steps = [float(row["step"]) for row in (*train, *checks)]
    x = Axis(0, max(steps), lambda step: f"{step:,.0f}", "step")
    drawn = [
        _loss_panel(train, x, bands),
        _validation_panel(checks, x, bands),
        _rate_panel(train, x, bands),
    ]
    return join(
        [element("div", *drawn, class_="panels"), element("p", _describe(train, checks, bands), class_="small")]
    )


def stage_bands(rows: Sequence[Mapping[str, Any]]) -> list[Band]:
    """Read off the events in which steps each stage ran; none where there is one stage only."""
    ends: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: float(row["step"])):
        if row.get("stage"):
            ends[str(row["stage"])] = float(row["step"])
    bands: list[Band] = []
    for name, end in ends.items():
        bands.append(Band(bands[-1].end if bands else 0, end, name))
    return bands if len(bands) > 1 else []


def points(rows: Sequence[Mapping[str, Any]], name: str) -> list[Point]:
    """Give a figure by step, without values that are missing or no numbers, thinned to `MAX_POINTS` means."""
    found = [Point(float(row["step"]), float(row[name])) for row in rows if _is_number(row.get(name))]
    size = math.ceil(len(found) / MAX_POINTS)
    if size <= 1:
        return found
    groups = (found[start : start + size] for start in range(0, len(found), size))
    return [Point(sum(p.x for p in group) / len(group), sum(p.y for p in group) / len(group)) for group in groups]


def smooth(values: Sequence[Point]) -> list[Point]:
    """Average every point with its neighbours, `_SMOOTH_SHARE` of the curve in all."""
    reach = max(1, round(len(values) * _SMOOTH_SHARE / 2))
    out = []
    for place, point in enumerate(values):
        near = values[max(0, place - reach) : place + reach + 1]
        out.append(Point(point.x, sum(p.y for p in near) / len(near)))
    return out


def _loss_panel(train: Sequence[Mapping[str, Any]], x: Axis, bands: Sequence[Band]) -> Html | None:
    loss = points(train, "loss")
    if not loss:
        return None
    y = Axis(0, _HEADROOM * max(p.y for p in loss), lambda value: f"{value:.3g}")
    if len(loss) < _SMOOTH_FROM:
        return panel("Training loss", [Line("loss", loss, marked=len(loss) == 1)], x, y, bands)
    lines = [Line("loss", loss, marked=False, faint=True), Line("loss, smoothed", smooth(loss), marked=False)]
    return panel("Training loss", lines, x, y, bands)


def _validation_panel(checks: Sequence[Mapping[str, Any]], x: Axis, bands: Sequence[Band]) -> Html | None:
    wer = points(checks, "wer")
    if not wer:
        return None
    high = min(_HEADROOM * max(p.y for p in wer), _WER_CEILING)
    return panel("Validation WER", [Line("WER", wer)], x, Axis(0, high or 1, number), bands)


def _rate_panel(train: Sequence[Mapping[str, Any]], x: Axis, bands: Sequence[Band]) -> Html | None:
    rate = points(train, "learning_rate")
    if not rate:
        return None
    y = Axis(0, _HEADROOM * max(p.y for p in rate) or 1, lambda value: f"{value:g}")
    return panel("Learning rate", [Line("learning rate", rate, marked=len(rate) == 1)], x, y, bands)


def _describe(train: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]], bands: Sequence[Band]) -> str:
    parts = []
    if bands:
        parts.append("Stages: " + ", ".join(f"{band.name} (to step {band.end:,.0f})" for band in bands))
    wer = points(checks, "wer")
    if wer:
        best = min(wer, key=lambda p: p.y)
        parts.append(f"best validation WER {number(best.y)} at step {best.x:,.0f}, on the validation split")
    speeds = sorted(p.y for p in points(train, "audio_s_per_s"))
    if speeds:
        parts.append(f"median speed {speeds[len(speeds) // 2]:,.0f} seconds of audio a second")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if parts else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
