"""Load a Whisper with its tokenizer and front end, run it over windows of any length, save it as others expect it.

Reads a model folder or hub id (safetensors and JSON only); writes a folder that transformers, faster-whisper and
whisper.cpp's converter load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers import WhisperTokenizer as HubTokenizer
from transformers.utils import logging

from rojak.errors import InputError, MissingExtraError
from rojak.features.mel import LogMel
from rojak.model.hub import must_be_cached
from rojak.model.labelling import Labelling, read_labelling, write_labelling
from rojak.model.names import MICRO_NAME, model_path
from rojak.model.restoration import Restoration, read_restoration, write_restoration

logging.disable_progress_bar()

MAX_TARGET_TOKENS = 448
IGNORED = -100
"""Label of a position that is not learnt."""


@dataclass(frozen=True)
class SpeechTokens:
    """Whisper's control tokens and the way from text to decoder tokens and back."""

    tokenizer: HubTokenizer
    start: int
    end: int
    transcribe: int
    no_timestamps: int
    timestamp_begin: int
    languages: dict[str, int]
    labelling: Labelling = field(default_factory=Labelling)

    @classmethod
    def of(cls, tokenizer: HubTokenizer, labelling: Labelling | None = None) -> "SpeechTokens":
        """Look the control tokens up by name: ids differ between models, large-v3 has one language more."""
        names = [token for token in tokenizer.get_added_vocab() if token.startswith("<|") and token.endswith("|>")]
        ids = dict(zip(names, tokenizer.convert_tokens_to_ids(names), strict=True))
        no_timestamps = ids["<|notimestamps|>"]
        between = range(ids["<|startoftranscript|>"] + 1, ids["<|translate|>"])
        return cls(
            tokenizer=tokenizer,
            start=ids["<|startoftranscript|>"],
            end=ids["<|endoftext|>"],
            transcribe=ids["<|transcribe|>"],
            no_timestamps=no_timestamps,
            timestamp_begin=no_timestamps + 1,
            languages={name[2:-2]: token for name, token in ids.items() if token in between},
            labelling=labelling or Labelling(),
        )

    @property
    def no_speech(self) -> int:
        """Token that stands for a window without speech; its name differs between models, its place does not."""
        return self.no_timestamps - 1

    @property
    def previous(self) -> int:
        """Token before the text of an earlier window."""
        return self.no_timestamps - 2

    def prompt(self, language: str, *, timestamps: bool = False) -> list[int]:
        """Give the tokens that precede the text: start, language, task and, unless times are wanted, no-timestamps."""
        if language not in self.languages:
            raise InputError(f"The model has no token for language {language!r}; it knows {', '.join(self.languages)}.")
        head = [self.start, self.languages[language], self.transcribe]
        return head if timestamps else [*head, self.no_timestamps]

    def encode(self, text: str) -> list[int]:
        """Give the tokens of a text, with the leading space that Whisper was trained on before non-Han words."""
        text = text.strip()
        ids: list[int] = self.tokenizer.encode(self._lead(text) + text, add_special_tokens=False)
        return ids

    def places(self, text: str) -> list[tuple[int, int]]:
        """Give where in the stripped text each token of `encode(text)` stands, as character ranges."""
        text = text.strip()
        lead = self._lead(text)
        offsets = self.tokenizer(lead + text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return [(max(0, start - len(lead)), end - len(lead)) for start, end in offsets]

    def encode_part(self, text: str, start: int, end: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Give the tokens of a stretch of a stripped text, and where in the text each stands."""
        if start >= end:
            return [], []
        lead = "" if start else self._lead(text)
        found = self.tokenizer(lead + text[start:end], add_special_tokens=False, return_offsets_mapping=True)
        shift = start - len(lead)
        return found["input_ids"], [(max(start, a + shift), b + shift) for a, b in found["offset_mapping"]]

    @staticmethod
    def _lead(text: str) -> str:
        return "" if not text or "\u3400" <= text[0] <= "\u9fff" else " "

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of tokens, control tokens and timestamps left out."""
        text: str = self.tokenizer.decode([i for i in ids if i < self.end], clean_up_tokenization_spaces=False)
        return text.strip()

    def timestamp(self, seconds: float) -> int:
        """Give the token of a time inside the 30-s window, on Whisper's 20-ms grid."""
        return self.timestamp_begin + min(1500, round(seconds / 0.02))


@dataclass(frozen=True)
class Whisper:
    """A loaded model with everything that belongs to it."""

    name: str
    network: WhisperForConditionalGeneration
    tokens: SpeechTokens
    extractor: WhisperFeatureExtractor
    restoration: Restoration | None = None

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = next(self.network.parameters()).device
        return device

    def log_mel(self) -> LogMel:
        """Build the front end on the model's device."""
        return LogMel(self.extractor, self.device)


def load_whisper(
    name: str, *, random_weights: bool = False, quantize_4bit: bool = False, dtype: torch.dtype = torch.float32
) -> Whisper:
    """Load model, tokenizer and front end.

    Args:
        name: `rojak-micro`, a folder, or a hub id such as `openai/whisper-large-v3`.
        random_weights: Keep the architecture and start from random weights.
        quantize_4bit: Hold the linear layers in 4-bit NF4 with double quantisation (Dettmers et al., 2023).
        dtype: Of the weights in memory.

    Raises:
        InputError: No Whisper under that name; or the hub cannot be reached.
        MissingExtraError: 4-bit without bitsandbytes.
    """
    path = model_path(name)
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise InputError(f"{name} is a folder without config.json; give a folder with a Whisper model or a hub id.")
    known = f"{MICRO_NAME}, a folder with a Whisper model, or a hub id such as openai/whisper-large-v3"
    if not Path(path).is_dir() and (name.count("/") != 1 or name.startswith(("/", ".", "~"))):
        # Not even a hub id: said at once, instead of after a minute of asking the hub.
        raise InputError(f"Cannot load the model {name!r} (there is no such folder); allowed are {known}.")
    cached = not Path(path).is_dir() and must_be_cached(name)
    try:
        config = WhisperConfig.from_pretrained(path, local_files_only=cached)
        if config.model_type != "whisper":
            raise InputError(f"{name} is a {config.model_type} model; Rojak works with Whisper models only.")
        labelling, restoration = read_labelling(Path(path)), read_restoration(Path(path))
        tokenizer = HubTokenizer.from_pretrained(path, local_files_only=cached)
        extractor = WhisperFeatureExtractor.from_pretrained(path, local_files_only=cached)
        if random_weights:
            network = WhisperForConditionalGeneration(config).to(dtype)
        else:
            network = WhisperForConditionalGeneration.from_pretrained(
                path,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=cached,
                quantization_config=_nf4(dtype) if quantize_4bit else None,
            )
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"Cannot load the model {name!r} ({reason}); allowed are {known}.") from error
    if quantize_4bit:
        _keep_weights_exact(network)
    return Whisper(name, network.eval(), SpeechTokens.of(tokenizer, labelling), extractor, restoration)


def _keep_weights_exact(network: nn.Module) -> None:
    """Keep bitsandbytes from packing weights anew while a CPU with bf16 evaluates.

    It rounds their scales to bf16 for that, so a run that has validated would go on with other weights than the same
    run continued from its checkpoint; and it fails on layers of fewer than 64 inputs.
    """
    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def _nf4(dtype: torch.dtype) -> object:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingExtraError("use_4bit needs bitsandbytes; install it with: pip install 'rojak[gpu]'.") from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def encode_audio(network: WhisperForConditionalGeneration, mel: torch.Tensor) -> torch.Tensor:
    """Run the encoder over as many positions as there are features, instead of always 1500.

    `WhisperEncoder.forward` refuses any other length than 30 s; the layers themselves do not care.

    Args:
        network: With or without adapter layers inside.
        mel: `(batch, mels, frames)`, frames even and at most 3000.

    Returns:
        `(batch, frames / 2, dim)`.
    """
    encoder = network.model.encoder
    hidden = nn.functional.gelu(encoder.conv1(mel.to(encoder.conv1.weight.dtype)))
    hidden = nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    return encoder.layer_norm(hidden)  # type: ignore[no-any-return]


def token_losses(
    network: WhisperForConditionalGeneration, encoded: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Give the cross-entropy of every label token; logits exist only where there is a label.

    Args:
        network: With or without adapter layers inside.
        encoded: `(batch, positions, dim)` from `encode_audio`.
        inputs: `(batch, tokens)` decoder input.
        labels: `(batch, tokens)`, `IGNORED` where nothing is learnt.

    Returns:
        `(number of label tokens,)` float32, in reading order of `labels`.
    """
    hidden = network.model.decoder(input_ids=inputs, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
    learnt = labels != IGNORED
    logits = network.proj_out(hidden[learnt])
    return nn.functional.cross_entropy(logits.float(), labels[learnt], reduction="none")


def save_whisper(whisper: Whisper, folder: Path) -> None:
    """Write a plain model folder that every runtime loads.

    transformers 5 writes only `processor_config.json`; faster-whisper reads `preprocessor_config.json` and assumes 80
    mels without it, so that is written too. The generation settings are built explicitly: those derived from a model
    configuration lose `no_timestamps_token_id` on reload.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whisper.network.generation_config = generation_settings(whisper)
    whisper.network.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):  # safetensors makes its files readable by nobody else
        path.chmod((folder / "config.json").stat().st_mode & 0o777)
    whisper.tokens.tokenizer.save_pretrained(folder)
    whisper.extractor.save_pretrained(folder)
    write_labelling(folder, whisper.tokens.labelling)
    if whisper.restoration is not None:
        write_restoration(folder, whisper.restoration)


def generation_settings(whisper: Whisper) -> GenerationConfig:
    """Build Whisper's generation settings from the tokenizer and what the base model says of suppression."""
    tokens, base = whisper.tokens, whisper.network.generation_config
    return GenerationConfig(
        decoder_start_token_id=tokens.start,
        eos_token_id=tokens.end,
        bos_token_id=tokens.end,
        pad_token_id=tokens.end,
        is_multilingual=True,
        lang_to_id={f"<|{name}|>": token for name, token in tokens.languages.items()},
        task_to_id={"transcribe": tokens.transcribe, "translate": tokens.transcribe - 1},
        no_timestamps_token_id=tokens.no_timestamps,
        prev_sot_token_id=tokens.previous,
        max_initial_timestamp_index=50,
        max_length=whisper.network.config.max_target_positions,
        suppress_tokens=getattr(base, "suppress_tokens", None) or [],
        begin_suppress_tokens=getattr(base, "begin_suppress_tokens", None) or [],
        return_timestamps=False,
        alignment_heads=getattr(base, "alignment_heads", None),
    )
