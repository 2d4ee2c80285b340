"""Load and adapt a Whisper through Unsloth, for GPUs only; the training loop stays ours.

Reads a model folder or hub id. Unsloth has no class for Whisper: its way is `FastModel` with `auto_model` set to
transformers' class and `whisper_language` and `whisper_task` given, and `task_type=None` for the adapter.
`tests/unit/model/test_unsloth.py` holds these names against the released package.
"""

import importlib.util
from typing import Any

import torch
from torch import nn
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers import WhisperTokenizer as HubTokenizer

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError, MissingExtraError
from rojak.model.adapters import target_modules
from rojak.model.names import model_path
from rojak.model.whisper import SpeechTokens, Whisper


def load_with_unsloth(config: TrainConfig, dtype: torch.dtype) -> tuple[Whisper, nn.Module]:
    """Load the base model and put its adapter on.

    Raises:
        ConfigError: There is no CUDA GPU.
        MissingExtraError: Unsloth is not installed.
    """
    if not torch.cuda.is_available():
        raise ConfigError("backend: unsloth needs a CUDA GPU and this machine has none; use backend: native.")
    if importlib.util.find_spec("unsloth") is None:
        raise MissingExtraError(
            "backend: unsloth needs Unsloth; install it with: pip install 'rojak[unsloth]', or use backend: native."
        )
    from unsloth import FastModel

    path = model_path(config.model_name)
    network, _ = FastModel.from_pretrained(**load_arguments(config, path, dtype))
    model = FastModel.get_peft_model(network, **adapter_arguments(config))
    plain: WhisperForConditionalGeneration = model.get_base_model()
    plain.name_or_path = model.peft_config["default"].base_model_name_or_path = config.model_name
    tokens = SpeechTokens.of(HubTokenizer.from_pretrained(path))
    return Whisper(config.model_name, plain, tokens, WhisperFeatureExtractor.from_pretrained(path)), model


def load_arguments(config: TrainConfig, path: str, dtype: torch.dtype) -> dict[str, Any]:
    """Give the arguments of `FastModel.from_pretrained`; the language only tells Unsloth that this is a Whisper."""
    return {
        "model_name": path,
        "dtype": dtype,
        "load_in_4bit": config.use_4bit,
        "auto_model": WhisperForConditionalGeneration,
        "whisper_language": "Malay",
        "whisper_task": "transcribe",
        "trust_remote_code": False,
        "random_state": config.seed,
    }


def adapter_arguments(config: TrainConfig) -> dict[str, Any]:
    """Give the arguments of `FastModel.get_peft_model`."""
    return {
        "r": config.lora_r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": target_modules(config),
        "use_rslora": config.use_rslora,
        "use_gradient_checkpointing": "unsloth" if config.gradient_checkpointing != "off" else False,
        "random_state": config.seed,
        "task_type": None,
    }
