"""Measure the tools for particles and the language tags, each alone and together, on synthetic speech.

    python benchmarks/particles.py WORK [--base rojak-micro] [--data PREPARED] [--only plain,tokens]

makes a corpus in WORK (once; or takes prepared data), fine-tunes the base model in every variant, decodes the test
speakers, whom no run trains on, and prints the tables of docs/particles.md and docs/language.md. What is done is kept
in WORK: run again, an interrupted training goes on, and a variant with a result is not touched.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.shards import SCHEMA, write_table
from rojak.data.synthesize import synthesize
from rojak.demo import HOURS, SPEECH
from rojak.evaluate.align import columns
from rojak.evaluate.decode import DecodeOptions
from rojak.evaluate.measure import UtteranceScore, particle_forms
from rojak.evaluate.predict import predict
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.model.adapters import load_any
from rojak.model.labels import locate_words
from rojak.model.names import token_counter
from rojak.model.pieces import languages_of
from rojak.model.restoration import Restoration
from rojak.model.whisper import Whisper
from rojak.records import Utterance, Word
from rojak.runs import read_jsonl
from rojak.train.fit_particles import FitOptions, best_at_each_place, collect, fit_particles
from rojak.train.loop import train

SEED = 7
CLEAN = "added_snr_db == none and duration < 4"
NOISE_DB = (10.0, 15.0)
"""Noise mixed into the test clips."""
COMMON: dict[str, Any] = {
    "seed": 5,
    "lora_r": 64,
    "lora_alpha": 128,
    "lora_dropout": 0.0,
    "lora_scope": "decoder",
    "batch_size": 16,
    "learning_rate": 1.2e-3,
    "windows": {"mode": "trim"},
    "validation": {"max_utterances": 30},
    "checkpoint_every_steps": 20,
    "log_every_steps": 25,
    "tensorboard": False,
}
OVERSAMPLED = {"mixture": [{"select": CLEAN, "particle_share": 0.08}]}
BALANCED = {"mixture": [{"select": CLEAN, "balance": "switch_pair"}]}
WEIGHTED = {"loss": {"particle_weight": 3.0}}
TOKENS = {"particle_tokens": True}
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "plain": ("none", {}, {}),
    "oversampled": ("oversampling, `particle_share: 0.08`", {}, OVERSAMPLED),
    "weighted": ("loss weight, `loss.particle_weight: 3`", WEIGHTED, {}),
    "tokens": ("particle tokens", TOKENS, {}),
    "all": ("oversampling, loss weight, particle tokens", {**WEIGHTED, **TOKENS}, OVERSAMPLED),
    "balanced": ("balanced over switch pairs, `balance: switch_pair`", {}, BALANCED),
    "switch": ("tags at switches", {"language_tags": "switch"}, {}),
    "word": ("tags after each word", {"language_tags": "word"}, {}),
    "careless": ("none", {}, {}),
    "careless-all": ("oversampling, loss weight, particle tokens", {**WEIGHTED, **TOKENS}, OVERSAMPLED),
}
"""Name → what it is, changes to the run, changes to its stage. Those that begin with `careless` are trained on
transcripts in which `MISSING` of the particles were not written, as annotators do."""
MISSING = 0.6
PARTS = ("clean", "noisy", "clean, restored", "noisy, restored", "taken out")
"""What is measured; the first alone where nothing is restored."""
TEST_CLIPS = 200
FIT = FitOptions("trim", max_utterances=1000, max_validation=1000)
RESTORED = ("plain", "all", "careless", "careless-all")
"""Variants whose dropped particles are put back."""
PARTICLE_METRICS = ("particle_recall", "particle_precision", "particle_f1", "wer")
LANGUAGE_METRICS = ("language_accuracy", "language_macro_f1", "switch_f1", "switch_precision", "switch_recall", "wer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", default="rojak-micro", help="base model")
    parser.add_argument("--data", type=Path, help="folder of prepared data; by default a corpus is made")
    parser.add_argument("--only", help="variants to run, with commas; tables show all that are there")
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps of each variant")
    parser.add_argument("--quick", action="store_true", help="leave noise and restoration for another time")
    args = parser.parse_args()
    data = args.data or args.work / "data"
    if not data.is_dir():
        synthesize(args.work / "corpus", HOURS, SEED, settings=SPEECH)
        prepare(args.work / "corpus", data, count_tokens=token_counter(args.base))
    for name in args.only.split(",") if args.only else VARIANTS:
        if not trained(args.work / "runs" / name):
            heard = write_careless(data, args.work / "careless") if name.startswith("careless") else data
            fine_tune(args.work, name, args.base, heard, args.steps)
        measure_variant(args.work, name, data, PARTS if name in RESTORED and not args.quick else PARTS[:1])
    print_tables(args.work)


def trained(run: Path) -> bool:
    """Tell whether a run has come to its end: a run that was cut off goes on."""
    return any(record["event"] == "end" for record in read_jsonl(run / "log.jsonl"))


def write_careless(data: Path, out: Path) -> Path:
    """Copy prepared data with some particles missing from the training transcripts; the other splits are the same."""
    if (out / "stats.json").is_file():
        return out
    (out / "data").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    for path in sorted((data / "data").glob("*.parquet")):
        rows = pq.read_table(path).to_pylist()
        for one in rows if path.name.startswith("train") else ():
            found = locate_words(one["text"], [Word.model_validate(word) for word in one["words"]]) or []
            gone = [word for word in found if word.language == "particle" and rng.random() < MISSING]
            for word in reversed(gone):
                one["text"] = one["text"][: word.start].rstrip(" ,") + one["text"][word.end :]
            places = {found.index(word) for word in gone}
            one["words"] = [word for place, word in enumerate(one["words"]) if place not in places]
        write_table(pa.Table.from_pylist(rows, schema=SCHEMA), out / "data" / path.name)
    shutil.copy(data / "stats.json", out / "stats.json")
    return out


def fine_tune(work: Path, name: str, base: str, data: Path, steps: int) -> None:
    _, changes, stage = VARIANTS[name]
    stages = [{"name": "all", "max_steps": steps, "mixture": [{"select": CLEAN}], **stage}]
    common = {**COMMON, "validation": {**COMMON["validation"], "every_steps": steps}}
    paths = {"model_name": base, "dataset_path": str(data), "output_dir": str(work / "runs" / name)}
    train(TrainConfig.model_validate({**common, **paths, **changes, "stages": stages}))


def measure_variant(work: Path, name: str, data_dir: Path, parts: Sequence[str]) -> None:
    """Decode clips of the test speakers, with and without noise and restoration; each part is kept as it is done."""
    model = str(work / "runs" / name)
    data = Dataset(data_dir, ("test",))
    clips = choose_clips(data)
    options = DecodeOptions(context="trim", batch_seconds=120.0)
    path = work / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def decode(kind: str, whisper: Whisper) -> list[Any]:
        snr_range = NOISE_DB if kind.startswith("noisy") else None
        return [
            row.model_dump(mode="json", exclude_none=True)
            for row in predict(whisper, data, clips, options, snr_range=snr_range)
        ]

    def taken_out(whisper: Whisper, fitted: Restoration) -> list[int]:
        taken = collect(whisper, data, clips, fitted.priors, "trim")
        chances, said = best_at_each_place(fitted, taken)
        passed = chances >= fitted.threshold
        return [int(said[passed].sum()), taken.particles, int(passed.sum())]

    for kind in parts:
        if kind in found:
            continue
        whisper = load_any(model)
        if kind.endswith("restored") or kind == "taken out":
            fitted = whisper.restoration or fit_particles(model, data_dir, FIT)[0]
            whisper = replace(whisper, restoration=fitted if kind != "taken out" else None)
            found[kind] = taken_out(whisper, fitted) if kind == "taken out" else decode(kind, whisper)
        else:
            found[kind] = decode(kind, replace(whisper, restoration=None))
        path.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


def choose_clips(data: Dataset) -> list[int]:
    """Take clean clips, half of them with particles."""
    clips: tuple[list[int], list[int]] = ([], [])
    for index, utterance in enumerate(data.utterances):
        if utterance.added_snr_db is None:
            clips[bool(particle_words(utterance))].append(index)
    rng = np.random.default_rng(0)
    return sorted(i for kind in clips for i in rng.permutation(kind)[: TEST_CLIPS // 2].astype(int).tolist())


def particle_words(utterance: Utterance) -> list[Word]:
    return [word for word in utterance.words or () if word.language == "particle"]


def read(work: Path, name: str) -> dict[str, Any]:
    """Read a variant's rows by condition; empty where it has no result yet."""
    path = work / f"{name}.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {
        key: [Prediction.from_dict(item, f"{path}, {key}") for item in value] if isinstance(value[0], dict) else value
        for key, value in found.items()
    }


def print_tables(work: Path) -> None:
    print(f"\n### Particles: test speakers, clean | the same clips at {NOISE_DB[0]:g}-{NOISE_DB[1]:g} dB\n")
    titles = [name.replace("particle_", "") for name in PARTICLE_METRICS]
    header([*titles, *(f"noisy: {title}" for title in titles)])
    results = {name: read(work, name) for name in VARIANTS}
    for name in ("plain", "oversampled", "weighted", "tokens", "all", "balanced", "careless", "careless-all"):
        for suffix, title in (("", ""), (", restored", " + restoration")):
            if "clean" + suffix in results[name]:
                cells = [
                    score_cells(rows, PARTICLE_METRICS) if rows else [""] * len(PARTICLE_METRICS)
                    for rows in (results[name].get(kind + suffix) for kind in ("clean", "noisy"))
                ]
                row(title_of(name) + title, cells[0] + cells[1])
    print("\n### Restoration, test speakers\n")
    header(
        (
            "clips",
            "dropped",
            "put back",
            "of these right",
            "of the dropped came back",
            "of the misheard",
            "taken out, back",
        )
    )
    for name in RESTORED:
        for kind in ("clean", "noisy"):
            if kind + ", restored" in results[name]:
                row(title_of(name), [kind, *restoration_cells(results[name], kind)])
    print("\n### Language tags, test speakers, clean\n")
    header([name.replace("_", " ") for name in LANGUAGE_METRICS])
    for name in ("plain", "switch", "word"):
        rows = results[name].get("clean")
        if rows and name != "plain":
            row(f"{VARIANTS[name][0]}: the model's tags", score_cells(rows, LANGUAGE_METRICS))
        if rows:
            tagged = [by_tagger(one) for one in rows]
            row(f"{VARIANTS[name][0]}: the text tagger alone", score_cells(tagged, LANGUAGE_METRICS))


def title_of(name: str) -> str:
    careless = f"; {MISSING:.0%} of the particles missing in training" if name.startswith("careless") else ""
    return VARIANTS[name][0] + careless


def restoration_cells(found: dict[str, Any], kind: str) -> list[str]:
    """Count, on the test clips, what the model dropped, what was put back, and what of it was right."""
    plain, restored = (
        score_predictions(found[kind + suffix], ScoreOptions(slices=(), resamples=0)).utterances
        for suffix in ("", ", restored")
    )
    dropped, misheard = missed_particles(plain)
    still, still_misheard = missed_particles(restored)
    right = put_back = 0
    for one in restored:
        marks = {mark["word"] for mark in (one.prediction.model_extra or {}).get("restored", ())}
        put_back += len(marks)
        right += sum(j in marks and op == "=" for op, _, j in columns(one.ops))
    taken = found.get("taken out", (0, 0, 0))
    return [
        str(dropped),
        str(put_back),
        share(right, put_back),
        share(dropped - still, dropped),
        f"{misheard - still_misheard} of {misheard}",
        f"{share(taken[0], taken[1])}, precision {share(taken[0], taken[2])}" if kind == "clean" else "",
    ]


def missed_particles(scored: Sequence[UtteranceScore]) -> tuple[int, int]:
    """Count the reference particles that nothing stands for, and those that were heard as another word."""
    dropped = misheard = 0
    for one in scored:
        said = particle_forms(one.reference_words, one.reference_languages)
        for op, i, j in columns(one.ops):
            if i is not None and said[i] is not None:
                dropped += j is None
                misheard += op == "S"
    return dropped, misheard


def by_tagger(row: Prediction) -> Prediction:
    """Give a row the text tagger's languages as if they were the system's own, so that nothing helps them."""
    words = row.hypothesis.split()
    tagged = [{"word": word, "language": language} for word, language in zip(words, languages_of(words), strict=True)]
    return Prediction.from_dict(
        {**row.model_dump(exclude_none=True), "hypothesis_words": tagged, "hypothesis_languages_from": "model"}, "row"
    )


def score_cells(rows: Sequence[Prediction], metrics: Sequence[str]) -> list[str]:
    overall = score_predictions(rows, ScoreOptions(slices=())).overall
    cells = []
    for name in metrics:
        value = overall.metrics[name]
        spread = f" [{value.low:.1%}, {value.high:.1%}]" if value.low is not None and value.high is not None else ""
        cells.append("–" if value.value is None else f"{value.value:.1%}{spread}")
    return cells


def share(part: float, whole: float) -> str:
    return f"{part:.0f} of {whole:.0f} ({part / whole:.0%})" if whole else "none"


def header(titles: Sequence[str]) -> None:
    row("", titles)
    row("---", ["---"] * len(titles))


def row(title: str, cells: Sequence[str]) -> None:
    print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
