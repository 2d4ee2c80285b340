"""What a package tells of its model: where it came from, what was measured, under which licence, what is missing.

Reads a run's `config.yaml`, its prepared data and its evaluation; writes nothing.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rojak.errors import InputError
from rojak.export.folder import ExportRecord, sha256_of
from rojak.model.adapters import base_name
from rojak.model.names import MICRO_NAME, model_path
from rojak.runs import read_json

MAX_BYTES = 5_000_000_000
"""Weights above this size are called too big."""


@dataclass(frozen=True)
class Facts:
    """What is known of a model.

    Attributes:
        model: As the user named it.
        base: The model it was fine-tuned from, or itself.
        licence: Of the base's weights; None where it is not known.
        config: The run's settings as text; None for a model without a run.
        data: Name, size and SHA-256 of every file of the prepared data, and its statistics; None where it is gone.
        metrics: `metrics.json` of its evaluation; None without one.
        evaluation: Folder of the evaluation.
    """

    model: str
    base: str
    licence: str | None
    config: str | None
    data: dict[str, Any] | None
    metrics: dict[str, Any] | None = field(repr=False)
    evaluation: Path | None

    @property
    def tuned(self) -> dict[str, Any] | None:
        """Results of the model itself, without those of its base."""
        return self.metrics["systems"][0] if self.metrics else None


def gather(model: str, evaluation: Path | None = None) -> Facts:
    """Collect what is known of a model.

    Args:
        model: A run, or anything that `merge` takes.
        evaluation: Folder written by `rojak evaluate`; default: `evaluation` in the run or beside it.

    Raises:
        InputError: A file of the run or the evaluation is malformed, or the evaluation is none.
    """
    run = Path(model)
    config_path = run / "config.yaml"
    config = config_path.read_text(encoding="utf-8") if config_path.is_file() else None
    base = base_name(model) or model
    folders = [evaluation] if evaluation else [run / "evaluation", run.parent / "evaluation"]
    found = next((folder for folder in folders if (folder / "metrics.json").is_file()), None)
    if evaluation is not None and found is None:
        raise InputError(f"{evaluation} holds no metrics.json; give a folder written by `rojak evaluate`.")
    metrics = read_json(found / "metrics.json") if found else None
    if metrics is not None and evaluation is None and found != run / "evaluation":
        measured = str(metrics["systems"][0]["settings"].get("model"))
        if Path(measured).resolve() != run.resolve():
            found = metrics = None  # results of another model that lie beside this one
    return Facts(model, base, _licence(base), config, _data(config), metrics, found)


def _licence(base: str) -> str | None:
    """Give the licence in the front matter of the base's own card; that of OpenAI's weights is known."""
    if base.startswith("openai/whisper-"):
        return "apache-2.0"
    card = Path(model_path(base)) / "README.md"
    if not card.is_file():
        return None
    match = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    head: Any = yaml.safe_load(match.group(1)) if match else None
    return str(head["license"]) if isinstance(head, dict) and head.get("license") else None


def _data(config: str | None) -> dict[str, Any] | None:
    settings: Any = yaml.safe_load(config) if config else None
    folder = Path(str(settings.get("dataset_path"))) if isinstance(settings, dict) else None
    if folder is None or not (folder / "stats.json").is_file():
        return None
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted((folder / "data").glob("*.parquet"))
    }
    return {"files": files, "stats": read_json(folder / "stats.json")}


def find_warnings(facts: Facts, records: dict[str, ExportRecord], *, benchmarked: bool) -> list[str]:
    """Give a sentence for everything that whoever gets the package should know before using it."""
    found = []
    if MICRO_NAME in (facts.base, facts.model):
        found.append("Synthetic voices only: the base model has never heard a person and is of no use on human speech.")
    if facts.tuned is None:
        found.append("Not evaluated: there are no measured results; run `rojak evaluate` and package again.")
    else:
        missed = [target for target in facts.tuned["targets"] if target["verdict"] == "FAIL"]
        if missed:
            found.append(f"Targets missed: {', '.join(describe_target(target) for target in missed)}.")
    for name, record in records.items():
        size = sum(int(entry["bytes"]) for entry in record.files.values())
        if size > MAX_BYTES:
            found.append(f"Too big: {name} has {size / 1e9:.1f} GB, more than {MAX_BYTES / 1e9:g} GB.")
        if record.verify is None:
            found.append(f"Not verified: nobody compared {name} with the original.")
        elif not record.verify["passed"]:
            found.append(
                f"Verification failed: {name} does not say the same as the original ({record.verify['rule']})."
            )
        elif not record.verify["certain"]:
            found.append(
                f"Verification uncertain: {record.verify['num_clips']} clips are too few to be sure that {name} is as "
                f"good as the original ({record.verify['rule']})."
            )
    if facts.licence is None:
        found.append(f"Licence unknown: look up that of the base model {facts.base} before handing this on.")
    if facts.data is None:
        found.append("Training data unknown: its hashes are missing.")
    if not benchmarked:
        found.append("Speed not measured: there is no benchmark in this package.")
    return found


def describe_target(target: dict[str, Any]) -> str:
    """Write `WER 64.8 % [53.4, 79.6], wanted < 15 %`."""
    sign, limit = target["limit"].split()
    unit = "%" if target["name"] not in ("rtf", "training") else {"rtf": "", "training": "h"}[target["name"]]
    return f"{target['title']} {describe_value(target, unit)}, wanted {sign} {_number(float(limit), unit)}"


def describe_value(value: dict[str, Any], unit: str = "%") -> str:
    """Write a value of `metrics.json` with its interval."""
    if value["value"] is None:
        return "not measured"
    if value["low"] is None or value["high"] is None:
        return _number(value["value"], unit)
    scale = 100 if unit == "%" else 1
    return f"{_number(value['value'], unit)} [{scale * value['low']:.3g}, {scale * value['high']:.3g}]"


def _number(value: float, unit: str) -> str:
    return f"{100 * value:.3g} %" if unit == "%" else f"{value:.3g} {unit}".strip()
