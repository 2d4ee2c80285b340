"""Fine-tune `rojak-micro` by the padded recipe and by ours on the same amount of audio; compare WERs with intervals.

    python benchmarks/wer_vs_padded.py WORK [--data PREPARED] [--hours 0.75] [--utterances 200]

The recipes are those of `train_vs_padded.py`: the same clips, steps, adapter, peak learning rate and warmup. Everything
is kept in WORK; what is there already is not done again. Prints Markdown. Without --data, the demo's speech is made.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

from train_vs_padded import Padded, Recipe, describe_machine, our_speed, ours_settings

from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.demo import HOURS, SEED, SPEECH
from rojak.evaluate.compare import compare
from rojak.evaluate.decode import Context, DecodeOptions
from rojak.evaluate.predict import predict
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.results import Scores
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.model.adapters import load_any
from rojak.model.names import MICRO_NAME
from rojak.model.whisper import load_whisper, save_whisper
from rojak.runs import append_jsonl, read_json, read_jsonl, write_json

RECIPE = Recipe(lora_r=64, learning_rate=6e-4)
MODES = ("trim", "pack", "mixed")


@dataclass(frozen=True)
class System:
    """A model to be decoded in an encoder context."""

    name: str
    model: str
    context: Context


def main() -> None:
    """Train what is not trained yet, decode what is not decoded yet, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--hours", type=float, default=0.75, help="Of training audio, the same for all.")
    parser.add_argument("--utterances", type=int, default=200, help="Of the test split, spread evenly.")
    parser.add_argument("--train-only", action="store_true")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    data_dir = arguments.data or make_data(work)
    if not (work / "padded-speed.json").exists():
        write_json(work / "padded-speed.json", train_padded(data_dir, work, arguments.hours))
    speeds = {"padded": read_json(work / "padded-speed.json")}
    for mode in MODES:
        settings = ours_settings(MICRO_NAME, data_dir, work / mode, mode, RECIPE) | {"max_hours": arguments.hours}
        speeds[mode] = our_speed(settings)
    if arguments.train_only:
        print(speeds)
        return
    systems = [System("base", MICRO_NAME, "full"), System("padded", str(work / "padded"), "full")]
    systems += [System(mode, str(work / mode), context) for mode in MODES for context in ("full", "trim")]
    data = Dataset(data_dir, ("test",))
    indices = list(range(0, len(data), max(1, len(data) // arguments.utterances)))[: arguments.utterances]
    show([decode(system, data, indices, work) for system in systems], speeds, arguments.hours, len(indices))


def make_data(work: Path) -> Path:
    """Make the demo's speech."""
    synthesize(work / "corpus", HOURS, SEED, settings=SPEECH)
    if not (work / "data").is_dir():
        prepare(work / "corpus", work / "data")
    return work / "data"


def train_padded(data_dir: Path, work: Path, hours: float) -> float:
    """Train the usual way and write the merged model; give audio seconds a second."""
    data = Dataset(data_dir, ("train",))
    data.keep_hours(hours, 1)  # the seed of ours, so the same clips
    side = Padded(load_whisper(MICRO_NAME), data, list(range(len(data))), RECIPE)
    seconds = side.train(work / "padded-trainer")
    save_whisper(replace(side.whisper, network=side.model.merge_and_unload()), work / "padded")
    return sum(utterance.duration for utterance in data.utterances) / seconds


def decode(system: System, data: Dataset, indices: list[int], work: Path) -> Scores:
    """Decode the test utterances, or read what was decoded before; score them."""
    path = work / f"{system.name}-{system.context}-{len(indices)}.jsonl"
    if not path.exists():
        started = time.perf_counter()
        rows = predict(load_any(system.model), data, indices, DecodeOptions(context=system.context))
        for prediction in rows:
            append_jsonl(path, prediction.model_dump(mode="json", exclude_none=True))
        print(f"decoded {path.name} in {time.perf_counter() - started:.0f} s", flush=True)
    rows = [Prediction.from_dict(values, str(path)) for values in read_jsonl(path)]
    return score_predictions(rows, ScoreOptions(slices=(), system=f"{system.name}, {system.context}"))


def show(systems: list[Scores], speeds: dict[str, float], hours: float, utterances: int) -> None:
    """Print the table: WERs, and the difference to the padded recipe from the paired bootstrap by speaker."""
    print(
        f"\n`rojak-micro`, LoRA r={RECIPE.lora_r}, {hours:g} h of audio once, {utterances} test utterances of unheard "
        f"speakers; {describe_machine()}.\n"
    )
    print("| recipe, context when decoding | audio-s/s while training | WER | less padded's | P(better) |")
    print("|---|---|---|---|---|")
    padded = next(scores for scores in systems if scores.system.startswith("padded"))
    for scores in systems:
        wer = scores.overall.metrics["wer"]
        difference = compare([padded, scores])[0].overall.metrics["wer"]
        speed = speeds.get(scores.system.split(",")[0])
        told = (
            "" if scores is padded else f"{difference.difference:+.1%} [{difference.low:+.1%}, {difference.high:+.1%}]"
        )
        sure = "" if scores is padded else f"{difference.p_better:.2f}"
        shown = "" if speed is None else f"{speed:.1f}"
        print(f"| {scores.system} | {shown} | {wer.value:.1%} [{wer.low:.1%}, {wer.high:.1%}] | {told} | {sure} |")


if __name__ == "__main__":
    main()
