"""The architecture and tokenizer of the embedded base model `rojak-micro`.

Writes a model folder with random weights; `configs/micro-base.yaml` trains it. See `scripts/build_micro.py`.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES as WHISPER_LANGUAGES

from rojak.model.whisper import SpeechTokens, Whisper, save_whisper

NUM_TEXT_TOKENS = 1400
"""Byte-level BPE tokens: 256 bytes and the merges; small, because the embedding is a sixth of the model."""

HEAD_OFFSETS = (-3, -1, 1, 3)
"""Encoder positions (20 ms) to the side at which the heads of the first layer look; further out in later layers."""
HEAD_SHARPNESS = 1.5


def build_tokenizer(
    texts: Iterable[str], num_text_tokens: int = NUM_TEXT_TOKENS, *, filled_up_to: int = 0
) -> WhisperTokenizer:
    """Train a byte-level BPE and lay Whisper's control tokens behind it in Whisper's own order.

    Timestamps come last, as everywhere in Whisper: decoders take every id above `<|notimestamps|>` for a time.

    Args:
        texts: What is to be spelt.
        num_text_tokens: Most text tokens.
        filled_up_to: Add text tokens that nothing is spelt with until there are so many, the last one empty; OpenAI's
            vocabulary has 50257.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=num_text_tokens,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        special_tokens=[],
    )
    bpe.train_from_iterator((f" {text}" for text in texts), trainer)
    vocabulary: dict[str, int] = bpe.get_vocab()
    merges = [tuple(merge) for merge in _merges(bpe)]
    if filled_up_to:
        vocabulary |= {f"unused{number}": number for number in range(len(vocabulary), filled_up_to - 1)}
        vocabulary[""] = filled_up_to - 1
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges)
    languages = [f"<|{code}|>" for code in WHISPER_LANGUAGES]
    controls = ["<|endoftext|>", "<|startoftranscript|>", *languages, "<|translate|>", "<|transcribe|>"]
    controls += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": controls}, replace_extra_special_tokens=True)
    tokenizer.add_tokens([f"<|{i * 0.02:.2f}|>" for i in range(1501)])
    return tokenizer


def _merges(bpe: Tokenizer) -> list[list[str]]:
    merges: list[list[str]] = json.loads(bpe.to_str())["model"]["merges"]
    return merges


def look_nearby(network: WhisperForConditionalGeneration) -> None:
    """Start each encoder head where it looks a few positions to one side, so that sounds meet their neighbours.

    Whisper's positions are sinusoids. Queries that turn each sine–cosine pair by its frequency times an offset, and
    keys that take the pairs as they are, make attention peak at that offset. Training is free to change it.
    """
    encoder, config = network.model.encoder, network.config
    num_heads, half = config.encoder_attention_heads, config.d_model // 2
    size = config.d_model // num_heads
    pairs = torch.arange(size // 2)
    frequencies = torch.exp(-math.log(10_000) / (half - 1) * pairs)
    with torch.no_grad():
        for number, layer in enumerate(encoder.layers):
            for head in range(num_heads):
                angle = frequencies * HEAD_OFFSETS[head % len(HEAD_OFFSETS)] * (number + 1)
                sines, cosines = head * size + pairs, head * size + size // 2 + pairs
                query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
                query[sines, pairs] += HEAD_SHARPNESS * angle.cos()
                query[sines, half + pairs] += HEAD_SHARPNESS * angle.sin()
                query[cosines, half + pairs] += HEAD_SHARPNESS * angle.cos()
                query[cosines, pairs] -= HEAD_SHARPNESS * angle.sin()
                key[sines, pairs] += HEAD_SHARPNESS
                key[cosines, half + pairs] += HEAD_SHARPNESS


def build_untrained(name: str, tokenizer: WhisperTokenizer, seed: int, **shape: Any) -> Whisper:
    """Build a Whisper with random weights.

    Args:
        name: What it is called.
        tokenizer: From `build_tokenizer`.
        seed: Of the weights.
        shape: Fields of `WhisperConfig`.
    """
    tokens = SpeechTokens.of(tokenizer)
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        decoder_start_token_id=tokens.start,
        bos_token_id=tokens.end,
        eos_token_id=tokens.end,
        pad_token_id=tokens.end,
        **shape,
    )
    torch.manual_seed(seed)
    network = WhisperForConditionalGeneration(config)
    # The library's defaults name token ids of OpenAI's vocabulary.
    network.generation_config.suppress_tokens = network.generation_config.begin_suppress_tokens = None
    return Whisper(name, network, tokens, WhisperFeatureExtractor(feature_size=config.num_mel_bins))


def build_micro(texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write an untrained `rojak-micro`: a true Whisper of about 4 M parameters, 80 mels, 1500 + 448 positions."""
    whisper = build_untrained(
        "rojak-micro",
        build_tokenizer(texts),
        seed,
        num_mel_bins=80,
        d_model=192,
        encoder_layers=4,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=768,
        decoder_ffn_dim=768,
        # The library's 0.02 suits widths of 384 and more (docs/decisions/0004-how-rojak-micro-starts.md).
        init_std=0.06,
    )
    look_nearby(whisper.network)
    save_whisper(whisper, folder)
