"""Measure training beside the recipe that everyone uses, on the same clips, model and amount of audio.

    python benchmarks/train_vs_padded.py [--clips 48] [--modes trim pack mixed] [--attentions sdpa eager]

The padded recipe is transformers' `Seq2SeqTrainer` with peft's LoRA, every clip padded to 30 s and its features
computed beforehand with `datasets.map`. Ours is `rojak train`'s own loop. Both take one pass over the same clips in
optimiser steps of 16, on a Whisper of base size with random weights, in float32 on a CPU; preparation is timed apart.
The padded recipe runs once with each attention, since transformers' default is not the fastest on a CPU; ratios are
given to both. Makes synthetic speech in a temporary folder; prints Markdown.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, WhisperConfig, WhisperFeatureExtractor
from transformers import WhisperForConditionalGeneration as Network

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset, prompt_language
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.model.micro import build_tokenizer
from rojak.model.whisper import IGNORED, SpeechTokens, Whisper, load_whisper, save_whisper
from rojak.runs import read_jsonl
from rojak.train.loop import train

BATCH = 8
ACCUMULATION = 2
MEAN_S = 4.2
"""Mean length of the clips."""
TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


@dataclass(frozen=True)
class Recipe:
    """What both sides are told."""

    lora_r: int = 32
    learning_rate: float = 1e-4
    warmup_ratio: float = 0.05
    epochs: float = 1.0


def main() -> None:
    """Make the data, run the padded recipe, then ours in each mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=48, help="About so many.")
    parser.add_argument("--modes", nargs="+", default=["trim", "pack", "mixed"])
    parser.add_argument("--attentions", nargs="+", default=["sdpa", "eager"], help="Of the padded recipe.")
    parser.add_argument("--size", choices=("base", "tiny"), default="base")
    arguments = parser.parse_args()
    recipe = Recipe()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data_dir, prepare_s = make_data(work, arguments.clips)
        model_dir = make_model(work, data_dir, arguments.size)
        data = Dataset(data_dir, ("train",))
        shortest_s, indices = clips_of_mean(data, MEAN_S)
        audio_s = sum(data.utterances[index].duration for index in indices)
        print(
            f"{len(indices)} clips of {audio_s / len(indices):.1f} s on average, one pass in steps of "
            f"{BATCH * ACCUMULATION}; Whisper-{arguments.size} shape, random weights, LoRA r={recipe.lora_r}; "
            f"{describe_machine()}.\n"
        )
        padded, features_s = {}, 0.0
        for attention in arguments.attentions:
            side = Padded(load_whisper(str(model_dir)), data, indices, recipe, attention)
            features_s = side.prepare_s
            padded[attention] = audio_s / side.train(work / f"padded-{attention}")
        ratios = "".join(f" times padded, {attention} |" for attention in padded)
        print(f"| recipe | preparation, s | audio-s/s while training |{ratios}")
        print("|---|---|---|" + "---|" * len(padded))
        for attention, speed in padded.items():
            print(row(f"Seq2SeqTrainer + peft, 30 s, {attention}", prepare_s + features_s, speed, padded), flush=True)
        for mode in arguments.modes:
            settings = ours_settings(model_dir, data_dir, work / mode, mode, recipe)
            mixture = [{"select": f"duration >= {shortest_s!r}"}]
            ours = our_speed(settings | {"stages": [{"name": "all", "mixture": mixture}]})
            print(row(f"Rojak, {mode}", prepare_s, ours, padded), flush=True)
        print(
            f"\nPreparation: `rojak prepare` took {prepare_s:.1f} s, which both sides need to have 16 kHz audio to "
            f"read; `map` {features_s:.1f} s on top."
        )


def row(name: str, prepare_s: float, speed: float, padded: dict[str, float]) -> str:
    """Give a line of the table."""
    ratios = "".join(f" {speed / other:.1f} |" for other in padded.values())
    return f"| {name} | {prepare_s:.1f} | {speed:.2f} |{ratios}"


def describe_machine() -> str:
    """Say what computes."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    return f"{os.cpu_count()} cores, {device}, torch {torch.__version__}"


def make_data(work: Path, clips: int) -> tuple[Path, float]:
    """Make speech with about so many clips for training and prepare it; give the folder and preparing's seconds."""
    # More than that, since the shortest are left out, and 80 % are for training.
    synthesize(work / "corpus", 1.5 * clips * MEAN_S / 3600 / 0.8, 5, show_progress=False)
    started = time.perf_counter()
    prepare(work / "corpus", work / "data", workers=0)
    return work / "data", time.perf_counter() - started


def clips_of_mean(data: Dataset, mean_s: float) -> tuple[float, list[int]]:
    """Leave the shortest clips out until the rest are of the wanted length on average; give the limit and the rest."""
    order = sorted(range(len(data)), key=lambda index: -data.utterances[index].duration)
    while sum(data.utterances[index].duration for index in order) < mean_s * len(order):
        order.pop()
    shortest_s = data.utterances[order[-1]].duration
    return shortest_s, [i for i in range(len(data)) if data.utterances[i].duration >= shortest_s]


def make_model(work: Path, data_dir: Path, size: str) -> Path:
    """Write a Whisper of OpenAI's shape with random weights."""
    tokenizer = build_tokenizer([utterance.text for utterance in Dataset(data_dir, ("train",)).utterances], 400)
    tokens = SpeechTokens.of(tokenizer)
    dim, layers, heads = (512, 6, 8) if size == "base" else (64, 2, 2)
    shape = {"d_model": dim, "encoder_layers": layers, "decoder_layers": layers, "encoder_ffn_dim": 4 * dim}
    shape |= {"decoder_ffn_dim": 4 * dim, "encoder_attention_heads": heads, "decoder_attention_heads": heads}
    ends = {"bos_token_id": tokens.end, "eos_token_id": tokens.end, "pad_token_id": tokens.end}
    config = WhisperConfig(vocab_size=51_865, decoder_start_token_id=tokens.start, **shape, **ends)
    torch.manual_seed(1)
    network = Network(config)
    network.generation_config.suppress_tokens = network.generation_config.begin_suppress_tokens = None
    folder = work / "model"
    save_whisper(Whisper(size, network, tokens, WhisperFeatureExtractor(feature_size=80)), folder)
    return folder


class Padded:
    """The usual recipe: log-mel features of 30 s made once with `map`, then `Seq2SeqTrainer` over a LoRA model."""

    def __init__(
        self, whisper: Whisper, data: Dataset, indices: list[int], recipe: Recipe, attention: str = "sdpa"
    ) -> None:
        import datasets

        datasets.disable_progress_bars()
        self.whisper, self.recipe = whisper, recipe
        whisper.network.set_attn_implementation(attention)
        adapter = LoraConfig(r=recipe.lora_r, lora_alpha=2 * recipe.lora_r, target_modules=TARGETS)
        self.model = get_peft_model(whisper.network, adapter)

        def features(row: dict[str, Any]) -> dict[str, Any]:
            utterance = data.utterances[row["index"]]
            mel = whisper.extractor(data.read_audio(row["index"]), sampling_rate=16_000).input_features[0]
            prompt = whisper.tokens.prompt(prompt_language(utterance, "matrix"))
            labels = [*prompt, *whisper.tokens.encode(utterance.text), whisper.tokens.end]
            return {"input_features": mel, "labels": labels}

        started = time.perf_counter()
        table = datasets.Dataset.from_dict({"index": indices})
        self.table = table.map(features, keep_in_memory=True)
        self.prepare_s = time.perf_counter() - started

    def train(self, folder: Path) -> float:
        """Train over all clips; give the seconds."""
        settings = Seq2SeqTrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=ACCUMULATION,
            num_train_epochs=self.recipe.epochs,
            learning_rate=self.recipe.learning_rate,
            warmup_steps=self.recipe.warmup_ratio,  # below 1 it is a share
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
        )
        trainer = Seq2SeqTrainer(model=self.model, args=settings, train_dataset=self.table, data_collator=collate)
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad labels; the start token is taken off, since the model puts it before the labels itself."""
    longest = max(len(row["labels"]) for row in rows)
    labels = [row["labels"][1:] + [IGNORED] * (longest - len(row["labels"])) for row in rows]
    mels = torch.stack([torch.as_tensor(row["input_features"]) for row in rows])
    return {"input_features": mels, "labels": torch.tensor(labels)}


def ours_settings(model_name: str | Path, data_dir: Path, run: Path, mode: str, recipe: Recipe) -> dict[str, Any]:
    """Give `rojak train`'s settings for the same amount of audio."""
    return {
        "model_name": str(model_name),
        "dataset_path": str(data_dir),
        "output_dir": str(run),
        "batch_size": BATCH,
        "gradient_accumulation_steps": ACCUMULATION,
        "lora_r": recipe.lora_r,
        "lora_alpha": 2 * recipe.lora_r,
        "lora_dropout": 0.0,
        "learning_rate": recipe.learning_rate,
        "optimizer": {"warmup_ratio": recipe.warmup_ratio},
        "precision": "bf16" if torch.cuda.is_available() else "fp32",
        "windows": {"mode": mode},
        "num_epochs": recipe.epochs,
        "validation": {"every_steps": 10**6, "max_utterances": 1, "max_new_tokens": 1},
        "log_every_steps": 1,
        "tensorboard": False,
    }


def our_speed(settings: dict[str, Any]) -> float:
    """Train with Rojak; give the audio seconds a second over all steps, reading and preparing audio included."""
    train(TrainConfig.model_validate(settings))
    rows = [row for row in read_jsonl(Path(settings["output_dir"]) / "log.jsonl") if row["event"] == "train"]
    return sum(row["audio_s"] for row in rows) / sum(row["step_s"] for row in rows)


if __name__ == "__main__":
    main()
