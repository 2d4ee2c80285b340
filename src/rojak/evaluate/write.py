"""Write results: `metrics.json` (one or several systems) and `predictions.jsonl` (one system, a line an utterance)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rojak import __version__
from rojak.evaluate.results import Scores
from rojak.evaluate.targets import check_targets
from rojak.runs import write_bytes, write_json

SCHEMA = "rojak-metrics-1"
"""Name of the shape of `metrics.json`; any change that could break a reader needs a new name."""


def metrics_document(systems: Sequence[Scores]) -> dict[str, Any]:
    """Give the content of `metrics.json`: every system's results and targets."""
    return {
        "schema": SCHEMA,
        "rojak_version": __version__,
        "systems": [
            {**scores.to_json(), "targets": [result.to_json() for result in check_targets(scores)]}
            for scores in systems
        ],
    }


def write_metrics(path: Path, systems: Sequence[Scores]) -> None:
    """Write `metrics.json` atomically."""
    write_json(path, metrics_document(systems))


def write_predictions(path: Path, scores: Scores) -> None:
    """Write every row that was scored, with its alignment and counts under `score`, one JSON object a line."""
    lines = (
        {**utterance.prediction.model_dump(exclude_none=True), "score": utterance.to_json()}
        for utterance in scores.utterances
    )
    # Half a surrogate pair, which JSON may hold and UTF-8 may not, is written as the escape it was read from.
    write_bytes(path, "".join(_line(item) for item in lines).encode("utf-8", "backslashreplace"))


def _line(item: dict[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")) + "\n"
