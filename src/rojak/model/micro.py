"""The architecture and tokenizer of the embedded base model `rojak-micro`.

Writes a model folder with random weights; `configs/micro-base.yaml` trains it. See `scripts/build_micro.py`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES as WHISPER_LANGUAGES

from rojak.model.whisper import SpeechTokens, Whisper, save_whisper

NUM_TEXT_TOKENS = 1400
"""Byte-level BPE tokens: 256 bytes and the merges; small, because the embedding is a sixth of the model."""


def build_tokenizer(texts: Iterable[str], num_text_tokens: int = NUM_TEXT_TOKENS) -> WhisperTokenizer:
    """Train a byte-level BPE and lay Whisper's control tokens behind it in Whisper's own order.

    Timestamps come last, as everywhere in Whisper: decoders take every id above `<|notimestamps|>` for a time.
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


def build_micro(texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write an untrained `rojak-micro`: a true Whisper of about 4.8 M parameters, 80 mels, 1500 + 448 positions."""
    tokenizer = build_tokenizer(texts)
    tokens = SpeechTokens.of(tokenizer)
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=192,
        encoder_layers=4,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=768,
        decoder_ffn_dim=768,
        decoder_start_token_id=tokens.start,
        bos_token_id=tokens.end,
        eos_token_id=tokens.end,
        pad_token_id=tokens.end,
        # The library's 0.02 suits widths of 384 and more. At this width it leaves the encoder so quiet that the decoder
        # learns the grammar by heart before it begins to listen (docs/decisions/0004-a-loud-start.md).
        init_std=0.13,
    )
    torch.manual_seed(seed)
    network = WhisperForConditionalGeneration(config)
    # The library's defaults name token ids of OpenAI's vocabulary.
    network.generation_config.suppress_tokens = network.generation_config.begin_suppress_tokens = None
    save_whisper(Whisper("rojak-micro", network, tokens, WhisperFeatureExtractor(feature_size=80)), folder)
