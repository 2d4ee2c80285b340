"""Measure the tools for particles and the language tags, each alone and together, on synthetic speech.

    python benchmarks/particles.py WORK [--only plain,tokens] [--base rojak-micro]

makes a corpus in WORK (once), fine-tunes the base model in every variant (each a run that can be interrupted and goes
on), decodes the test and validation speakers, which no run trains on, and prints the tables of docs/particles.md and
docs/language.md.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.evaluate.decode import DecodeOptions
from rojak.evaluate.predict import predict
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.model.adapters import load_any
from rojak.model.names import token_counter
from rojak.model.pieces import languages_of
from rojak.train.fit_particles import FitOptions, best_at_each_place, collect, fit_particles
from rojak.train.loop import train

HOURS, SEED, STEPS = 2.0, 11, 100
CLEAN = "added_snr_db == none"
COMMON: dict[str, Any] = {
    "seed": 5,
    "lora_r": 64,
    "lora_alpha": 128,
    "lora_dropout": 0.0,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "windows": {"mode": "trim"},
    "validation": {"every_steps": STEPS, "max_utterances": 60},
    "log_every_steps": 25,
    "tensorboard": False,
}
OVERSAMPLED = {"mixture": [{"select": CLEAN, "particle_share": 0.08}]}
BALANCED = {"mixture": [{"select": CLEAN, "balance": "switch_pair"}]}
WEIGHTED = {"loss": {"particle_weight": 3.0}}
TOKENS = {"particle_tokens": True}
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "plain": ("none of them", {}, {}),
    "oversampled": ("oversampling, `particle_share: 0.08`", {}, OVERSAMPLED),
    "weighted": ("loss weight, `loss.particle_weight: 3`", WEIGHTED, {}),
    "tokens": ("particle tokens", TOKENS, {}),
    "all": ("all three", {**WEIGHTED, **TOKENS}, OVERSAMPLED),
    "balanced": ("balanced over switch pairs, `balance: switch_pair`", {}, BALANCED),
    "switch": ("tags at switches", {"language_tags": "switch"}, {}),
    "word": ("tags after each word", {"language_tags": "word"}, {}),
}
"""Name → what it is, changes to the run, changes to its stage."""
PARTICLE_METRICS = ("particle_recall", "particle_precision", "particle_f1", "wer", "language_accuracy", "switch_f1")
RESTORED = ("plain", "all")
LANGUAGE_METRICS = ("language_accuracy", "language_macro_f1", "switch_f1", "switch_precision", "switch_recall", "wer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", default="rojak-micro", help="base model")
    parser.add_argument("--only", help="variants to train, with commas; tables show all that are there")
    args = parser.parse_args()
    if not (args.work / "data").is_dir():
        synthesize(args.work / "corpus", HOURS, SEED)
        prepare(args.work / "corpus", args.work / "data", count_tokens=token_counter(args.base))
    for name in args.only.split(",") if args.only else VARIANTS:
        fine_tune(args.work, name, args.base)
        decode(args.work, name)
    print_tables(args.work)
    print("\n### Restoration, test speakers\n")
    print("| model | particles | taken out and back | precision | dropped by the model and back | precision |")
    print("|---|---|---|---|---|---|")
    for name in RESTORED:
        if (args.work / "runs" / name / "best").is_dir():
            measure_restoration(args.work, name)


def measure_restoration(work: Path, name: str) -> None:
    """Fit, then count what comes back of particles taken out of transcripts, and of those that the model dropped."""
    model = str(work / "runs" / name)
    fitted, _ = fit_particles(model, work / "data", FitOptions("trim"))
    data = Dataset(work / "data", ("test",))
    everything = range(len(data))
    whisper = load_any(model)
    taken = collect(replace(whisper, restoration=None), data, everything, fitted.priors, "trim")
    chances, said = best_at_each_place(fitted, taken)
    passed = chances >= fitted.threshold
    options = DecodeOptions(context="trim")
    counts = []
    for restore in (False, True):
        rows = predict(whisper, data, everything, replace(options, restore_particles=restore))
        scored = score_predictions(rows, ScoreOptions(slices=(), resamples=0)).utterances
        counts.append([sum(one.counts.get(key, 0) for one in scored) for key in ("particles", "particles_right")])
    put_back = sum(len((row.model_extra or {}).get("restored", ())) for row in rows)
    (total, before), (_, after) = counts
    print(
        f"| {VARIANTS[name][0]} | {total:.0f} | {share(said[passed].sum(), taken.particles)} "
        f"| {share(said[passed].sum(), passed.sum())} | {share(after - before, total - before)} "
        f"| {share(after - before, put_back)} |"
    )


def share(part: float, whole: float) -> str:
    return f"{part:.0f} of {whole:.0f} ({part / whole:.0%})" if whole else "none"


def fine_tune(work: Path, name: str, base: str) -> None:
    _, changes, stage = VARIANTS[name]
    stages = [{"name": "all", "max_steps": STEPS, "mixture": [{"select": CLEAN}], **stage}]
    paths = {"model_name": base, "dataset_path": str(work / "data"), "output_dir": str(work / "runs" / name)}
    train(TrainConfig.model_validate({**COMMON, **paths, **changes, "stages": stages}))


def decode(work: Path, name: str) -> None:
    """Decode the clean clips of the unheard speakers; restoration is measured apart."""
    whisper = replace(load_any(str(work / "runs" / name)), restoration=None)
    data = Dataset(work / "data", ("validation", "test"))
    clean = [i for i, utterance in enumerate(data.utterances) if utterance.added_snr_db is None]
    rows = predict(whisper, data, clean, DecodeOptions(context="trim"))
    lines = [row.model_dump_json(exclude_none=True) for row in rows]
    (work / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(work: Path, name: str) -> list[Prediction] | None:
    path = work / f"{name}.jsonl"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Prediction.from_dict(json.loads(line), f"{path}:{n}") for n, line in enumerate(lines, 1)]


def print_tables(work: Path) -> None:
    print("\n### Particles\n")
    header(PARTICLE_METRICS)
    for name in ("plain", "oversampled", "weighted", "tokens", "all", "balanced"):
        if rows := read(work, name):
            row(VARIANTS[name][0], rows, PARTICLE_METRICS)
    print("\n### Language tags\n")
    header(LANGUAGE_METRICS)
    for name in ("plain", "switch", "word"):
        rows = read(work, name)
        if rows and name != "plain":
            row(f"{VARIANTS[name][0]}: the model's tags", rows, LANGUAGE_METRICS)
        if rows:
            row(f"{VARIANTS[name][0]}: the text tagger alone", [by_tagger(one) for one in rows], LANGUAGE_METRICS)


def by_tagger(row: Prediction) -> Prediction:
    """Give a row the text tagger's languages as if they were the system's own, so that nothing helps them."""
    words = row.hypothesis.split()
    tagged = [{"word": word, "language": language} for word, language in zip(words, languages_of(words), strict=True)]
    return Prediction.from_dict(
        {**row.model_dump(exclude_none=True), "hypothesis_words": tagged, "hypothesis_languages_from": "model"}, "row"
    )


def header(metrics: Sequence[str]) -> None:
    print("| | " + " | ".join(name.replace("_", " ") for name in metrics) + " |")
    print("|---|" + "---|" * len(metrics))


def row(title: str, rows: Sequence[Prediction], metrics: Sequence[str]) -> None:
    overall = score_predictions(rows, ScoreOptions(slices=())).overall
    cells = []
    for name in metrics:
        value = overall.metrics[name]
        spread = f" [{value.low:.1%}, {value.high:.1%}]" if value.low is not None and value.high is not None else ""
        cells.append("–" if value.value is None else f"{value.value:.1%}{spread}")
    print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
