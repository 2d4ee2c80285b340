"""Measure training beside the recipe that everyone uses, on the same clips, model and amount of audio.

    python benchmarks/train_vs_padded.py [--clips 64] [--rounds 2] [--modes trim pack mixed]

The padded recipe is transformers' `Seq2SeqTrainer` with peft's LoRA, every clip padded to 30 s and its features
computed beforehand with `datasets.map`. Ours is `rojak.train`'s own loop. Both take the same number of optimiser
steps of 16 clips on a Whisper of base size with random weights; preparation is timed apart. Makes synthetic speech in a
temporary folder; prints Markdown.
"""

import argparse
import os
import tempfile
import time
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
TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def main() -> None:
    """Make the data, run the padded recipe, then ours in each mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2, help="Passes over the clips; the first warms up.")
    parser.add_argument("--modes", nargs="+", default=["trim", "pack", "mixed"])
    parser.add_argument("--size", choices=("base", "tiny"), default="base")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data_dir, prepare_s = make_data(work, arguments.clips)
        model_dir = make_model(work, data_dir, arguments.size)
        data = Dataset(data_dir, ("train",))
        data.keep_hours(100, 0)
        indices = list(range(min(arguments.clips, len(data)) // (BATCH * ACCUMULATION) * BATCH * ACCUMULATION))
        hours = sum(data.utterances[i].duration for i in indices) / 3600
        mean_s = 3600 * hours / len(indices)
        print(f"{len(indices)} clips of {mean_s:.1f} s on average; Whisper-{arguments.size}; {os.cpu_count()} cores.\n")
        print("| recipe | preparation, s | audio-s/s while training | times the padded recipe |\n|---|---|---|---|")
        map_s, padded = padded_speed(model_dir, data, indices, arguments.rounds)
        print(f"| Seq2SeqTrainer + peft, 30 s | {map_s:.1f} | {padded:.2f} | 1.0 |", flush=True)
        for mode in arguments.modes:
            ours = our_speed(work / mode, model_dir, data_dir, (mode, hours, len(indices)), arguments.rounds)
            print(f"| Rojak, {mode} | {prepare_s:.1f} | {ours:.2f} | {ours / padded:.1f} |", flush=True)


def make_data(work: Path, clips: int) -> tuple[Path, float]:
    """Make speech and prepare it; give the folder and the seconds that preparing took."""
    synthesize(work / "corpus", max(0.06, clips * 4.2 / 3600 * 2), 5, show_progress=False)
    started = time.perf_counter()
    prepare(work / "corpus", work / "data", workers=0)
    return work / "data", time.perf_counter() - started


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
    save_whisper(Whisper("base", network, tokens, WhisperFeatureExtractor(feature_size=80)), folder)
    return folder


def padded_speed(model_dir: Path, data: Dataset, indices: list[int], rounds: int) -> tuple[float, float]:
    """Train the usual way; give the seconds of `map` and the audio seconds a second of the last pass."""
    import datasets

    datasets.disable_progress_bars()
    whisper = load_whisper(str(model_dir))
    model = get_peft_model(whisper.network, LoraConfig(r=32, lora_alpha=64, target_modules=TARGETS))

    def features(row: dict[str, Any]) -> dict[str, Any]:
        utterance = data.utterances[row["index"]]
        mel = whisper.extractor(data.read_audio(row["index"]), sampling_rate=16_000).input_features[0]
        prompt = whisper.tokens.prompt(prompt_language(utterance, "matrix"))
        return {"input_features": mel, "labels": [*prompt, *whisper.tokens.encode(utterance.text), whisper.tokens.end]}

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["labels"]) for row in rows)
        # The start token is taken off: the model puts it before the labels itself.
        labels = [row["labels"][1:] + [IGNORED] * (longest - len(row["labels"])) for row in rows]
        mels = torch.stack([torch.as_tensor(row["input_features"]) for row in rows])
        return {"input_features": mels, "labels": torch.tensor(labels)}

    started = time.perf_counter()
    table = datasets.Dataset.from_dict({"index": indices}).map(features, keep_in_memory=True)
    map_s = time.perf_counter() - started
    speeds = []
    for number in range(rounds):
        settings = Seq2SeqTrainingArguments(
            output_dir=str(model_dir.parent / f"padded-{number}"),
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=ACCUMULATION,
            num_train_epochs=1,
            learning_rate=1e-4,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
        )
        trainer = Seq2SeqTrainer(model=model, args=settings, train_dataset=table, data_collator=collate)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        speeds.append(sum(data.utterances[i].duration for i in indices) / seconds)
    return map_s, speeds[-1]


def our_speed(run: Path, model_dir: Path, data_dir: Path, amount: tuple[str, float, int], rounds: int) -> float:
    """Train with Rojak; give the audio seconds a second of the last pass."""
    mode, hours, clips = amount
    steps = clips // (BATCH * ACCUMULATION)
    settings = {
        "model_name": str(model_dir),
        "dataset_path": str(data_dir),
        "output_dir": str(run),
        "batch_size": BATCH,
        "gradient_accumulation_steps": ACCUMULATION,
        "lora_r": 32,
        "lora_alpha": 64,
        "lora_dropout": 0.0,
        "precision": "bf16" if torch.cuda.is_available() else "fp32",
        "windows": {"mode": mode},
        "stages": [{"name": "all", "max_steps": rounds * steps}],
        "validation": {"every_steps": rounds * steps, "max_utterances": 1, "max_new_tokens": 1},
        "log_every_steps": 1,
        "tensorboard": False,
        "max_hours": max(hours, 0.001) * 1.2,
    }
    train(TrainConfig.model_validate(settings))
    rows = [row for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"][-steps:]
    return sum(row["audio_s"] for row in rows) / sum(row["step_s"] for row in rows)


if __name__ == "__main__":
    main()
