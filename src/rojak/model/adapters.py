"""Low-rank adapters on Whisper: put on for training, found again for evaluation.

Reads and writes the adapter folders of peft (`adapter_config.json`, `adapter_model.safetensors`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError

from rojak.config.schema import TrainConfig
from rojak.errors import InputError
from rojak.model.labelling import read_labelling
from rojak.model.names import MICRO_NAME, model_path
from rojak.model.particle_tokens import with_particle_tokens
from rojak.model.restoration import read_restoration
from rojak.model.whisper import Whisper, load_whisper
from rojak.runs import read_json

ADAPTER_FILE = "adapter_config.json"


def add_lora(whisper: Whisper, config: TrainConfig) -> PeftModel:
    """Put LoRA layers (Hu et al., 2021) into the model, in place, and freeze everything else.

    `task_type` stays None: peft's SEQ_2_SEQ_LM wrapper passes `input_ids`, which Whisper does not take.
    """
    settings = LoraConfig(
        task_type=None,
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=target_modules(config),
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        base_model_name_or_path=config.model_name,
        trainable_token_indices=_particle_rows(whisper),
    )
    # peft writes down the path that was loaded from; the name the user gave works on other machines too.
    whisper.network.name_or_path = config.model_name
    return get_peft_model(whisper.network, settings)


def target_modules(config: TrainConfig) -> list[str] | str:
    """Give the names of the layers that get an adapter, or a pattern for those of one half of the model."""
    if config.lora_scope == "all":
        return list(config.lora_target_modules)
    return rf".*\.{config.lora_scope}\..*\.({'|'.join(config.lora_target_modules)})"


def _particle_rows(whisper: Whisper) -> dict[str, list[int]] | None:
    """Name the embedding rows that are trained beside the adapter, if any; the output layer shares them."""
    rows = sorted(whisper.tokens.labelling.particle_tokens.values())
    return {"embed_tokens": rows} if rows else None


def load_adapted(folder: Path) -> Whisper:
    """Load the base model named in an adapter folder and merge the adapter into its weights.

    Raises:
        InputError: The folder holds no adapter, or its base cannot be loaded.
    """
    settings = read_json(folder / ADAPTER_FILE)
    base_name = settings.get("base_model_name_or_path")
    if not base_name:
        raise InputError(f"{folder / ADAPTER_FILE} does not name its base model (base_model_name_or_path).")
    labelling, restoration = read_labelling(folder), read_restoration(folder)
    base = with_particle_tokens(load_whisper(base_name), labelling.particle_tokens)
    try:
        merged = PeftModel.from_pretrained(base.network, folder, use_safetensors=True).merge_and_unload()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder} does not fit its base model {base_name}: {str(error).splitlines()[0]}") from error
    tokens = replace(base.tokens, labelling=labelling)
    return replace(base, name=str(folder), network=merged.eval(), tokens=tokens, restoration=restoration)


def resolve_model(name: str) -> Path | None:
    """Give the folder that a name means: embedded model, model or adapter folder, a run's best model; None: a hub id.

    Raises:
        InputError: A run directory that has no best model yet.
    """
    folder = Path(model_path(name))
    if (folder / "best").is_dir():
        return folder / "best"
    if (folder / "checkpoints").is_dir():
        raise InputError(f"{name} is a run without a best model yet; let `rojak train` reach its first validation.")
    if (folder / "model").is_dir():  # a checkpoint
        return folder / "model"
    return folder if folder.is_dir() else None


def load_any(name: str) -> Whisper:
    """Load a base model, an adapter folder, a full model folder, a checkpoint, or the best model of a run directory."""
    folder = resolve_model(name)
    if folder is not None and (folder / ADAPTER_FILE).is_file():
        return load_adapted(folder)
    return load_whisper(str(folder) if folder is not None and name != MICRO_NAME else name)


def base_name(name: str) -> str | None:
    """Give the name of the model that an adapter or run started from; None for a model that stands alone."""
    folder = resolve_model(name)
    if folder is None or not (folder / ADAPTER_FILE).is_file():
        return None
    found: str | None = read_json(folder / ADAPTER_FILE).get("base_model_name_or_path")
    return found


@dataclass(frozen=True)
class ParameterCount:
    """How much of a model is trained."""

    trainable: int
    total: int

    def __str__(self) -> str:
        share = self.trainable / self.total
        return f"{self.trainable / 1e6:.2f} M of {self.total / 1e6:.2f} M parameters are trained ({share:.1%})"


def count_parameters(model: torch.nn.Module) -> ParameterCount:
    """Count parameters; a 4-bit weight counts as the elements it stands for, not as its packed bytes."""
    trainable = total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        elements = state.shape.numel() if state is not None else parameter.numel()
        total += elements
        trainable += elements if parameter.requires_grad else 0
    return ParameterCount(trainable, total)
