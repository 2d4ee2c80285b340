"""Every training setting with its meaning, unit and range.

The names are those of the YAML files in `configs/` and, for the common ones, of the command-line flags.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    noise_kinds: tuple[Literal["babble", "pink", "hum", "recorded"], ...] = Field(
        default=("babble", "pink", "hum"), description="Made from other clips or by formula, or from `noise_dirs`."
    )
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

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="Letters, digits, - and _; each once.")
    mixture: tuple[MixtureComponent, ...] = (MixtureComponent(),)
    num_epochs: float | None = Field(default=None, gt=0, description="Passes over the selected utterances.")
    max_steps: int | None = Field(default=None, gt=0, description="Optimiser steps; wins over num_epochs.")
    learning_rate: float | None = Field(default=None, gt=0, description="Peak; default: the run's.")
    augment: AugmentConfig = AugmentConfig()
    windows: "WindowsConfig | None" = Field(default=None, description="As `windows`; default: the run's.")
    fresh_optimizer: bool = Field(
        default=False, description="Begin the stage with an empty optimiser and a learning-rate schedule of its own."
    )


class WindowsConfig(Section):
    """How clips are laid into the encoder's 30-s window; see docs/way-of-the-data.md."""

    mode: Literal["pad", "trim", "pack", "mixed"] = Field(
        default="mixed", description="One clip and silence; one clip alone; clips end to end; the last two mixed."
    )
    trim_share: Share = Field(default=0.5, description="`mixed`: share of clips that are trimmed; the rest is packed.")
    timestamp_share: Share = Field(default=0.5, description="`pack`: share of windows whose labels keep timestamps.")
    pack_seconds: float = Field(
        default=30.0, gt=0, le=30, description="`pack`: longest window that clips are laid into."
    )
    max_batch_seconds: float | None = Field(
        default=None, gt=0, description="Padded audio seconds of one forward pass; default batch_size × 30."
    )
    nonspeech_share: float = Field(
        default=0.0, ge=0, le=0.9, description="Share of windows added that hold noise or silence and an empty text."
    )
    previous_text_share: Share = Field(
        default=0.0, description="Share of windows whose labels follow the text of the same speaker's clip before."
    )
    num_processes: int | None = Field(
        default=None, ge=1, description="Processes for which steps are cut; default: those that the run began with."
    )


class LossConfig(Section):
    """How much a label token counts in the loss, which is their weighted mean over the whole step."""

    particle_weight: float = Field(default=1.0, gt=0, description="Of the tokens of discourse particles.")
    embedded_weight: float = Field(
        default=1.0, gt=0, description="Of the tokens of words in another language than the utterance's main one."
    )


class OptimizerConfig(Section):
    """AdamW with a cosine schedule over the whole run."""

    name: Literal["adamw", "adamw_8bit"] = Field(
        default="adamw", description="`adamw_8bit` holds its state in 8 bits (needs bitsandbytes)."
    )
    warmup_ratio: Share = Field(default=0.05, description="Share of the steps in which the rate rises.")
    min_learning_rate_ratio: Share = Field(default=0.05, description="Where the cosine ends, relative to the peak.")
    weight_decay: float = Field(default=0.01, ge=0, description="Of matrices; biases and norms are not decayed.")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.98), description="Adam's decay of its two moments.")
    eps: float = Field(default=1e-6, gt=0, description="Adam's smallest divisor.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Larger gradients are scaled down to this norm.")


MetricName = Literal[
    "wer", "mer", "wer_spaced", "cer", "ser", "substitution_rate", "deletion_rate", "insertion_rate",
    "language_accuracy", "language_macro_f1", "switch_f1", "switch_recall", "switch_precision", "pier",
    "particle_recall", "particle_precision", "particle_f1", "particle_recall_near",
    "runaway_rate", "repeat_rate", "empty_rate",
]  # fmt: skip
"""Measures of `rojak.evaluate.metrics` by which a checkpoint can be best."""


class GuardConfig(Section):
    """A set of validation utterances whose loss is compared with the base model's, so that forgetting is seen."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="Letters, digits, - and _.")
    select: str = Field(default="true", description='Expression over record fields, e.g. `language == "en"`.')
    max_utterances: int = Field(default=100, gt=0, description="Drawn from those selected.")
    max_rise: float | None = Field(
        default=None, gt=0, description="Stop when the loss is so much above the base's; default: only show it."
    )


class ValidationConfig(Section):
    """Evaluation by real decoding while training, and which checkpoints stay."""

    every_steps: int | None = Field(default=None, gt=0, description="Default: ten times a run.")
    max_utterances: int = Field(default=200, gt=0, description="Validation utterances decoded each time.")
    metric: MetricName = Field(default="wer", description="What the best checkpoint is best at; see docs/metrics.md.")
    max_new_tokens: int = Field(default=224, gt=0, description="Longest transcript; OpenAI's limit for a window.")
    keep_best: int = Field(default=3, ge=1, description="Checkpoints kept by the metric, beside the newest.")
    context: Literal["full", "trim"] | None = Field(
        default=None, description="Encoder context; default: trim when the windows train it, else full."
    )
    patience: int | None = Field(
        default=None, ge=1, description="Stop after so many validations without a better one; default: never."
    )
    min_improvement: float = Field(
        default=0.0, ge=0, description="How much better, in the metric's own unit, counts as better for `patience`."
    )
    guards: tuple[GuardConfig, ...] = Field(default=(), description="Sets on which the model must not get worse.")


class TrainConfig(Section):
    """Everything `rojak train` needs to know."""

    model_name: str = Field(default="rojak-micro", description="`rojak-micro`, a model folder, or a hub id.")
    dataset_path: str = Field(description="Folder written by `rojak prepare`.")
    output_dir: str = Field(description="Run directory; an unfinished run in it is continued.")
    seed: int = Field(default=1, ge=0, description="Of everything random.")

    adapter: Literal["lora", "none"] = Field(default="lora", description="`none` trains every weight.")
    freeze_encoder: bool = Field(
        default=False, description="With `adapter: none`, train the decoder only; for LoRA see lora_scope."
    )
    use_4bit: bool = Field(default=False, description="QLoRA: the frozen base in 4-bit NF4 (needs bitsandbytes).")
    lora_r: int = Field(default=32, ge=1, description="Rank of the adapter.")
    lora_alpha: int = Field(default=64, ge=1, description="Its output is scaled by alpha / r.")
    lora_dropout: Share = Field(default=0.05, description="Share of its inputs that are left out in a step.")
    use_rslora: bool = Field(default=False, description="Scale by alpha / √r (Kalajdzievski, 2023).")
    use_dora: bool = Field(default=False, description="Split weights into size and direction (Liu et al., 2024).")
    lora_scope: Literal["all", "encoder", "decoder"] = Field(default="all", description="Where adapters are put.")
    lora_target_modules: tuple[Literal["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"], ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        min_length=1,
        description="Which matrices get an adapter: those of attention, those of the feed-forward layers.",
    )
    alignment_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of a loss that teaches from known word times; for training from random weights.",
    )
    init: Literal["pretrained", "random"] = Field(default="pretrained", description="`random` starts from noise.")

    num_epochs: float = Field(default=3, gt=0, description="For stages that do not say.")
    batch_size: int = Field(default=16, ge=1, description="Clips of a micro-batch, if each is padded to 30 s.")
    gradient_accumulation_steps: int = Field(
        default=1, ge=1, description="batch_size × this is the clips of a step, by however many processes."
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="Peak; `rojak lr-find` measures one.")
    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        default="auto", description="Number format; `auto`: bf16 where it is fast, else fp16 on a GPU, else fp32."
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        default="auto", description="Recompute instead of keeping activations; `auto`: when a GPU's memory asks for it."
    )
    backend: Literal["native", "unsloth"] = Field(default="native", description="Who loads and adapts the model.")
    max_hours: float | None = Field(default=None, gt=0, description="Train on so many hours only, for a first run.")

    windows: WindowsConfig = WindowsConfig()
    stages: tuple[StageConfig, ...] = Field(default=(StageConfig(name="all"),), min_length=1)
    mixed_language_token: Literal["matrix", "ms", "en", "zh", "ta"] = Field(
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
    log_every_steps: int = Field(default=10, ge=1, description="Between two lines of the log.")
    tensorboard: bool = Field(default=True, description="Mirror the log to RUN/tensorboard.")
    wandb: Literal["off", "offline", "online"] = Field(default="off", description="Mirror the log to W&B.")
    push_to: str | None = Field(
        default=None, description="Hub id (`name/model`) or folder (`./…`, `/…`) that gets the best model and its card."
    )

    @property
    def encoder_learns(self) -> bool:
        """Whether anything in the encoder is trained; if not, it has no backward pass and keeps nothing for one."""
        return not self.freeze_encoder if self.adapter == "none" else self.lora_scope != "decoder"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.use_4bit and self.adapter == "none":
            raise ValueError("use_4bit needs adapter: lora (4-bit weights cannot be trained themselves)")
        if self.alignment_weight and self.adapter != "none":
            raise ValueError("alignment_weight needs adapter: none (it is for training from random weights)")
        if self.freeze_encoder and (self.adapter != "none" or self.init == "random" or self.alignment_weight):
            raise ValueError(
                "freeze_encoder goes with adapter: none and trained weights, without alignment_weight; "
                "use lora_scope: decoder for an adapter on the decoder alone"
            )
        if self.init == "random" and self.adapter != "none":
            raise ValueError("init: random needs adapter: none (an adapter on noise learns nothing)")
        special = self.use_dora or self.particle_tokens or self.language_tags != "none"
        if self.backend == "unsloth" and (self.adapter == "none" or special):
            raise ValueError(
                "backend: unsloth is for LoRA and QLoRA without use_dora, language_tags and particle_tokens; "
                "use backend: native"
            )
        guards = [guard.name for guard in self.validation.guards]
        if len(set(guards)) != len(guards):
            raise ValueError(f"validation.guards must have different names, got {', '.join(guards)}")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages must have different names, got {', '.join(names)}")
        return self
