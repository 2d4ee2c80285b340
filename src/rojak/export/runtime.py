"""One way to run any model: opens a folder of whatever kind, gives what was heard in clips of up to 30 s.

Reads a Whisper folder, adapter, run or hub id (`transformers`), or a folder written by `rojak export` (`ct2`, `onnx`,
`ggml`); writes nothing. Every kind gets the same features, prompt and rules, so that differences come from the weights
and the runtime alone. A clip's result does not depend on which clips share its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rojak.audio import Samples
from rojak.errors import InputError
from rojak.evaluate.decode import Context
from rojak.export.folder import EXPORT_FILE, read_export
from rojak.records import HeardWord

Kind = Literal["transformers", "ct2", "onnx", "ggml"]
Device = Literal["auto", "cpu", "cuda"]
Languages = str | Sequence[str | None] | None
"""One code for all clips, one for each, or None to let the model choose."""


@dataclass(frozen=True)
class RuntimeOptions:
    """How to decode, greedily; recorded with every result.

    Attributes:
        context: `full` shows the encoder 30 s as every other program does, `trim` only the clip (`trim_safe` models).
        max_new_tokens: Longest transcript of a clip.
        batch_seconds: Audio seconds that are decoded together.
        words: Also give each word with its language; without, only the text is made.
        word_times: Find when each of the words is said, too; `onnx` and `ggml` exports cannot and give none.
        restore_particles: Put dropped particles back where the model has learnt to; only `transformers` can.
    """

    context: Context = "full"
    max_new_tokens: int = 224
    batch_seconds: float = 240.0
    words: bool = True
    word_times: bool = False
    restore_particles: bool = True


@dataclass(frozen=True)
class Decoded:
    """What was heard in one clip.

    Attributes:
        text: Without control tokens.
        tokens: Ids of the text, in the model's own vocabulary.
        avg_logprob: Mean natural logarithm of the probabilities of the tokens and, unless cut off, the end-of-text.
        language: The code in the prompt, given or detected.
        words: Its words with their languages, particles that were put back marked; with times and confidence where
            `word_times` was asked for and the kind can. None of them where `words` was not asked for.
        decode_s: The clip's share of its batch's seconds, front end included.
        languages_from: Who says which language each word is in: a model that tags them, or the tagger of text.
    """

    text: str
    tokens: tuple[int, ...]
    avg_logprob: float
    language: str
    words: tuple[HeardWord, ...]
    decode_s: float
    languages_from: Literal["model", "tagger"] = "tagger"


class Runtime(Protocol):
    """A model that is ready to listen."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def kind(self) -> Kind:
        """Which program runs it."""
        ...

    @property
    def num_mels(self) -> int:
        """80 or 128."""
        ...

    @property
    def trim_safe(self) -> bool:
        """Whether `rojak verify` found that a trimmed context changes nothing; False where nobody looked."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes that the model has a token for."""
        ...

    def transcribe(
        self, audio: Sequence[Samples], language: Languages = None, options: RuntimeOptions | None = None
    ) -> list[Decoded]:
        """Give what is heard in each clip.

        Args:
            audio: Clips of shape `(samples,)`, float32, 16 kHz, at most 30 s each.
            language: A code for all, a code (or None) for each, or None to detect it clip by clip.
            options: How to decode.

        Raises:
            InputError: A clip is longer than 30 s, or the model has no token for a language.
        """
        ...


def open_model(name: str | Path, device: Device = "auto") -> Runtime:
    """Open a model of any kind.

    Args:
        name: `rojak-micro`, a Whisper or adapter folder, a run directory, a hub id, or a folder written by
            `rojak export`.
        device: `auto` takes a GPU where the kind can use one.

    Raises:
        InputError: No model there; a half-written or changed export.
        MissingExtraError: The kind's program is not installed.
    """
    folder = Path(name)
    if not (folder / EXPORT_FILE).is_file():
        _refuse_foreign(folder)
        from rojak.export.runtimes.whisper import open_whisper

        return open_whisper(str(name), device)
    record = read_export(folder)
    if record.format == "transformers":
        from rojak.export.runtimes.whisper import open_whisper

        return open_whisper(str(name), device, trim_safe=record.trim_safe)
    if record.format == "ct2":
        from rojak.export.runtimes.ctranslate2 import open_ct2

        return open_ct2(folder, record, device)
    if record.format == "ggml":
        from rojak.export.runtimes.ggml import open_ggml

        return open_ggml(folder, record)
    from rojak.export.runtimes.onnx import open_onnx

    return open_onnx(folder, record, device)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that looks like an export but has no `export.json`: half-written, or not ours."""
    if not folder.is_dir():
        return
    signs = {"model.bin": "ct2", "encoder.onnx": "onnx", "decoder.onnx": "onnx"}
    kind = next((kind for name, kind in signs.items() if (folder / name).is_file()), None)
    kind = kind or ("ggml" if any(folder.glob("ggml-*.bin")) else None)
    if kind is not None:
        raise InputError(
            f"{folder} holds {kind} files but no {EXPORT_FILE}: the export was broken off or was not made by Rojak; "
            f"run `rojak export MODEL {folder} --format {kind}` again."
        )
