"""Every training setting with its meaning, unit and range.

The names are those of the YAML files in `configs/` and, for the common ones, of the command-line flags.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rojak.records import Language

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MixtureComponent(Section):
    """A part of a stage's data."""

    select: str = Field(default="true", description='Expression over record fields, e.g. `language == "mixed"`.')
    weight: float = Field(default=1.0, gt=0, description="Share of the stage's samples, relative to the others.")
    spliced: int = Field(
        default=0, ge=0, description="Use this many new utterances cut together from the selected ones with word times."
    )
    balance: str | None = Field(
        default=None,
        description="Field, such as `language` or `switch_pair`, each value of which gets an equal part of this share.",
    )
    particle_share: Share | None = Field(
        default=None,
        description="Repeat utterances with particles that fewer than this share of the utterances hold, up to it.",
    )


class AugmentConfig(Section):
    """What is done to the audio of a training sample; nothing is done in validation."""

    clean_share: Share = Field(default=0.0, description="Share of samples whose sound is left as it is.")
    noise_share: Share = Field(default=0.0, description="Share of samples that get background noise.")
    noise_snr_db: tuple[float, float] = Field(default=(5.0, 20.0), description="Range of the mixed-in ratio, dB.")
    noise_kinds: tuple[Literal["babble", "pink", "hum", "recorded"], ...] = ("babble", "pink", "hum")
    noise_dirs: tuple[str, ...] = Field(default=(), description="Folders of noise for the kind `recorded`.")
    reverb_share: Share = Field(default=0.0, description="Share of samples that get a room response.")
    room_dirs: tuple[str, ...] = Field(default=(), description="Folders of room responses; none: made ones.")
    channel_share: Share = Field(default=0.0, description="Share of samples that go through a channel.")
    channels: tuple[Literal["telephone", "gsm", "mp3", "ogg"], ...] = Field(
        default=("telephone", "gsm", "mp3", "ogg"), min_length=1, description="Bands and codecs to draw from."
    )
    speed: tuple[float, float] = Field(default=(1.0, 1.0), description="Range of the resampling speed factor.")
    gain_db: tuple[float, float] = Field(default=(0.0, 0.0), description="Range of the gain, dB.")
    time_masks: int = Field(default=0, ge=0, description="SpecAugment time masks a clip (Park et al., 2019).")
    time_mask_seconds: float = Field(default=0.4, gt=0, description="Longest time mask, seconds.")
    frequency_masks: int = Field(default=0, ge=0, description="SpecAugment frequency masks a clip.")
    frequency_mask_bins: int = Field(default=12, gt=0, description="Widest frequency mask, mel bins.")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("noise_snr_db", "speed", "gain_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must rise: [{low}, {high}] starts above its end")
        if self.speed[0] < 0.5 or self.speed[1] > 2.0:
            raise ValueError("speed must stay between 0.5 and 2.0")
        if self.noise_share and not self.noise_kinds:
            raise ValueError("noise_kinds must name at least one kind when noise_share is above 0")
        if ("recorded" in self.noise_kinds) != bool(self.noise_dirs):
            raise ValueError("noise_dirs and the kind `recorded` in noise_kinds go together")
        return self


class StageConfig(Section):
    """One stage of the curriculum."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    mixture: tuple[MixtureComponent, ...] = (MixtureComponent(),)
    num_epochs: float | None = Field(default=None, gt=0, description="Passes over the selected utterances.")
    max_steps: int | None = Field(default=None, gt=0, description="Optimiser steps; wins over num_epochs.")
    learning_rate: float | None = Field(default=None, gt=0, description="Peak; default: the run's.")
    augment: AugmentConfig = AugmentConfig()


class WindowsConfig(Section):
    """How clips are laid into the encoder's 30-s window; see docs/way-of-the-data.md."""

    mode: Literal["pad", "trim", "pack", "mixed"] = "mixed"
    trim_share: Share = Field(default=0.5, description="`mixed`: share of clips that are trimmed; the rest is packed.")
    timestamp_share: Share = Field(default=0.5, description="`pack`: share of windows whose labels keep timestamps.")
    max_batch_seconds: float | None = Field(
        default=None, gt=0, description="Padded audio seconds of one forward pass; default batch_size × 30."
    )


class OptimizerConfig(Section):
    """AdamW with a cosine schedule over the whole run."""

    warmup_ratio: Share = Field(default=0.05, description="Share of the steps in which the rate rises.")
    min_learning_rate_ratio: Share = Field(default=0.05, description="Where the cosine ends, relative to the peak.")
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.98)
    eps: float = Field(default=1e-6, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)


class ValidationConfig(Section):
    """Evaluation by real decoding while training, and which checkpoints stay."""

    every_steps: int | None = Field(default=None, gt=0, description="Default: ten times a run.")
    max_utterances: int = Field(default=200, gt=0, description="Validation utterances decoded each time.")
    metric: Literal["wer", "cer", "ser", "pier", "language_accuracy", "switch_f1", "particle_recall", "particle_f1"] = (
        Field(default="wer", description="What the best checkpoint is best at.")
    )
    max_new_tokens: int = Field(default=224, gt=0, description="Longest transcript; OpenAI's limit for a window.")
    keep_best: int = Field(default=3, ge=1, description="Checkpoints kept by the metric, beside the newest.")
    context: Literal["full", "trim"] | None = Field(
        default=None, description="Encoder context; default: trim when the windows train it, else full."
    )


class TrainConfig(Section):
    """Everything `rojak train` needs to know."""

    model_name: str = Field(default="rojak-micro", description="`rojak-micro`, a model folder, or a hub id.")
    dataset_path: str = Field(description="Folder written by `rojak prepare`.")
    output_dir: str = Field(description="Run directory; an unfinished run in it is continued.")
    seed: int = Field(default=1, ge=0)

    adapter: Literal["lora", "none"] = Field(default="lora", description="`none` trains every weight.")
    use_4bit: bool = Field(default=False, description="QLoRA: the frozen base in 4-bit NF4 (needs bitsandbytes).")
    lora_r: int = Field(default=32, ge=1)
    lora_alpha: int = Field(default=64, ge=1)
    lora_dropout: Share = 0.05
    lora_target_modules: tuple[Literal["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"], ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"), min_length=1
    )
    alignment_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of a loss that teaches from known word times; for training from random weights.",
    )
    init: Literal["pretrained", "random"] = Field(default="pretrained", description="`random` starts from noise.")

    num_epochs: float = Field(default=3, gt=0, description="For stages that do not say.")
    batch_size: int = Field(default=16, ge=1, description="Clips of a micro-batch and process.")
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"

    windows: WindowsConfig = WindowsConfig()
    stages: tuple[StageConfig, ...] = Field(default=(StageConfig(name="all"),), min_length=1)
    mixed_language_token: Literal["matrix"] | Language = Field(
        default="matrix", description="Language token of mixed utterances; `matrix`: that of most of the words."
    )
    language_tags: Literal["none", "switch", "word"] = Field(
        default="none", description="Language tokens in the labels: at every switch, or after each word."
    )
    particle_tokens: bool = Field(default=False, description="One vocabulary token for each particle.")
    word_lists: tuple[str, ...] = Field(default=(), description="YAML files with your own words and particles.")
    loader_workers: int = Field(default=0, ge=0, description="Processes that decode audio ahead.")
    train_splits: tuple[Literal["train", "validation", "test"], ...] = Field(
        default=("train",), min_length=1, description="More than `train` only to try things on very little data."
    )

    validation: ValidationConfig = ValidationConfig()
    checkpoint_every_steps: int | None = Field(default=None, gt=0, description="Default: with every validation.")
    log_every_steps: int = Field(default=10, ge=1)
    tensorboard: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.use_4bit and self.adapter == "none":
            raise ValueError("use_4bit needs adapter: lora (4-bit weights cannot be trained themselves)")
        if self.alignment_weight and self.adapter != "none":
            raise ValueError("alignment_weight needs adapter: none (it is for training from random weights)")
        if self.init == "random" and self.adapter != "none":
            raise ValueError("init: random needs adapter: none (an adapter on noise learns nothing)")
        if self.mixed_language_token == "mixed":
            raise ValueError("mixed_language_token must be matrix, ms, en, zh or ta")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages must have different names, got {', '.join(names)}")
        return self
