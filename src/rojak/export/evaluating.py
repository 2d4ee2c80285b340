"""Let `rojak evaluate` decode with an exported folder: the runtimes of this room behind the evaluator's interface."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from rojak.errors import InputError
from rojak.evaluate.decode import ClipToDecode, Decoded, DecodeOptions
from rojak.evaluate.evaluate import System, open_whisper
from rojak.export.folder import EXPORT_FILE, read_export
from rojak.export.runtime import Runtime, RuntimeOptions, open_model

CLIPS_AT_ONCE = 64
"""Clips whose sound is held while a runtime sorts them into batches."""


def open_system(name: str) -> System:
    """Open whatever `rojak evaluate` may be given: a base model, adapter, run, merged folder, hub id or export.

    Raises:
        InputError: No model there; a half-written or changed export.
        MissingExtraError: The export's program is not installed.
    """
    folder = Path(name)
    exported = (folder / EXPORT_FILE).is_file() and read_export(folder).format != "transformers"
    if exported or _looks_exported(folder):
        runtime = open_model(name)
        return System(partial(decode_with, runtime), runtime.kind)
    return open_whisper(name)


def _looks_exported(folder: Path) -> bool:
    """Tell a folder that holds no plain model, which `open_model` refuses with the reason."""
    return folder.is_dir() and not any(
        (folder / name).exists() for name in ("config.json", "adapter_config.json", "best", "checkpoints", "model")
    )


def decode_with(
    runtime: Runtime,
    clips: Iterable[ClipToDecode],
    options: DecodeOptions,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Decoded]:
    """Decode clips with an exported model; see `rojak.evaluate.decode.decode_clips`.

    Raises:
        InputError: Beams or temperature fallback are wanted, which exports do not have.
    """
    if options.num_beams > 1 or options.temperature_fallback:
        raise InputError(
            f"{runtime.name} is a {runtime.kind} export, which decodes greedily; "
            "leave out beams and temperature fallback, or evaluate the model it was made of."
        )
    wanted = RuntimeOptions(
        options.context, options.max_new_tokens, options.batch_seconds, word_times=options.word_times
    )
    waiting = iter(clips)
    while group := list(islice(waiting, CLIPS_AT_ONCE)):
        found = runtime.transcribe([clip.samples for clip in group], [clip.language for clip in group], wanted)
        for clip, heard in zip(group, found, strict=True):
            yield Decoded(
                index=clip.index,
                text=heard.text,
                language=heard.language,
                decode_s=heard.decode_s,
                mean_logprob=round(heard.avg_logprob, 4),
                words=heard.words if options.word_times or heard.languages_from == "model" else None,
                languages_from=heard.languages_from,
            )
        if on_progress:
            on_progress(len(group))
