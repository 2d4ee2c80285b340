"""Recordings of any length in, transcripts out: windows of many recordings share batches.

Reads audio; writes nothing. A bad recording gives its error in place of a transcript, and the others go on.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import AudioError
from rojak.evaluate.decode import Context
from rojak.export.runtime import Decoded, Runtime, RuntimeOptions
from rojak.export.transcribe.sound import Recording, read_recording
from rojak.export.transcribe.transcript import Segment, Transcript
from rojak.export.transcribe.windows import MAX_WINDOW_S, Span, plan_windows
from rojak.records import HeardWord
from rojak.runs import explain_os_error
from rojak.text.language import TaggedWord, utterance_language

TRIM_WINDOW_S = 15.0
"""Longest window where a window costs only what it holds; shorter ones make finer segments and bigger batches."""
POOL_BATCHES = 4
"""Batches of windows that are gathered before they are sorted by length and decoded."""


@dataclass(frozen=True)
class ListenOptions:
    """How recordings are cut and heard.

    Attributes:
        language: A code that the model has a token for; None lets it choose window by window.
        context: `full`, `trim`, or None for what suits the model.
        max_window_s: Longest window; None for what suits the context.
        vad: Leave out what is no speech.
        batch_seconds: Audio seconds that are decoded together.
        words: Give segments their words and languages; without, only their text.
        word_times: Also find when each of the words is said, where the kind of model can.
        max_new_tokens: Longest transcript of a window.
    """

    language: str | None = None
    context: Context | None = None
    max_window_s: float | None = None
    vad: bool = True
    batch_seconds: float = 240.0
    words: bool = True
    word_times: bool = False
    max_new_tokens: int = 224


@dataclass
class _Open:
    """A recording some of whose windows are not heard yet."""

    recording: Recording
    duration_s: float
    spans: list[Span]
    heard: dict[int, Decoded] = field(default_factory=dict)


@dataclass(frozen=True)
class _Window:
    """A stretch of sound that waits to be heard, and where its result goes."""

    owner: _Open
    number: int
    samples: Samples = field(repr=False)


def listen(
    recordings: Iterable[Recording],
    runtime: Runtime,
    options: ListenOptions | None = None,
    *,
    read: Callable[[Path], Samples] = read_recording,
    on_progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[Recording, Transcript | AudioError]]:
    """Transcribe recordings; each result comes as soon as its last window is heard.

    Args:
        recordings: What to read, one after the other.
        runtime: From `open_model`.
        options: How to cut and hear.
        read: Gives a recording's sound.
        on_progress: Told seconds of recordings, silence included, as they are done.
    """
    options = options or ListenOptions()
    context: Context = options.context or ("trim" if runtime.trim_safe else "full")
    max_window_s = options.max_window_s or (TRIM_WINDOW_S if context == "trim" else MAX_WINDOW_S)
    how = RuntimeOptions(
        context, options.max_new_tokens, options.batch_seconds, words=options.words, word_times=options.word_times
    )
    waiting: list[_Window] = []

    def hear_all() -> Iterator[tuple[Recording, Transcript]]:
        ordered = sorted(waiting, key=lambda window: len(window.samples))
        waiting.clear()
        for batch in _batches(ordered, options.batch_seconds, MAX_WINDOW_S if context == "full" else None):
            decoded = runtime.transcribe([window.samples for window in batch], options.language, how)
            for window, result in zip(batch, decoded, strict=True):
                window.owner.heard[window.number] = result
            if on_progress:
                on_progress(sum(len(window.samples) for window in batch) / SAMPLE_RATE)
            for owner in {id(window.owner): window.owner for window in batch}.values():
                if len(owner.heard) == len(owner.spans):
                    yield owner.recording, _finish(owner, runtime.name)

    for recording in recordings:
        try:
            samples = read(recording.path)
        except AudioError as error:
            yield recording, error
            continue
        except OSError as error:
            yield recording, AudioError(str(explain_os_error(error, recording.path)))
            continue
        spans = plan_windows(samples, max_window_s, vad=options.vad)
        opened = _Open(recording, len(samples) / SAMPLE_RATE, spans)
        if on_progress:
            on_progress(opened.duration_s - sum(end_s - start_s for start_s, end_s in spans))
        if not spans:
            yield recording, _finish(opened, runtime.name)
        for number, (start_s, end_s) in enumerate(spans):
            piece = samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
            waiting.append(_Window(opened, number, piece))
        if sum(len(window.samples) for window in waiting) / SAMPLE_RATE >= POOL_BATCHES * options.batch_seconds:
            yield from hear_all()
    yield from hear_all()


def _batches(windows: Sequence[_Window], batch_seconds: float, window_s: float | None) -> Iterator[list[_Window]]:
    """Cut windows, shortest first, into batches of so many seconds, each window counted as the longest beside it."""
    batch: list[_Window] = []
    for window in windows:
        cost_s = window_s or len(window.samples) / SAMPLE_RATE
        if batch and (len(batch) + 1) * cost_s > batch_seconds:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _finish(opened: _Open, model: str) -> Transcript:
    segments = [
        segment
        for number, span in enumerate(opened.spans)
        if (segment := _segment(span, opened.heard[number])) is not None
    ]
    language = _language(word for segment in segments for word in segment.words)
    return Transcript(str(opened.recording.path), opened.duration_s, model, language, tuple(segments))


def _segment(span: Span, heard: Decoded) -> Segment | None:
    """Give a window's text its place in the recording; None where nothing was heard."""
    text = heard.text.strip()
    if not text:
        return None
    start_s, end_s = span
    words = tuple(_placed(word, start_s) for word in heard.words)
    language = _language(words) or heard.language
    confidence = min(1.0, math.exp(heard.avg_logprob))
    if words and words[0].start is not None and words[-1].end is not None:
        start_s, end_s = max(start_s, words[0].start), min(end_s, max(words[-1].end, words[0].start))
    return Segment(start_s, end_s, text, language, confidence, words)


def _placed(word: HeardWord, offset_s: float) -> HeardWord:
    """Move a window's word to its place in the recording; times that the model does not give are never guessed."""
    if word.start is None or word.end is None:
        return word
    return word.model_copy(update={"start": word.start + offset_s, "end": word.end + offset_s})


def _language(words: Iterable[HeardWord]) -> str | None:
    return utterance_language([TaggedWord(word.word, word.language, 1.0) for word in words])
