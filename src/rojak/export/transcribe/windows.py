"""Cut a recording of any length into windows that a model hears at once: at pauses, never more than 30 s.

Speech is found by silero-vad (the ONNX file that comes with faster-whisper). Reads and writes no files of the user's.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import MissingExtraError

MAX_WINDOW_S = 30.0
MAX_GAP_S = 3.0
"""Silence longer than this always ends a window: models invent words into it."""
SPEECH_THRESHOLD = 0.35
"""Of silero's probability; under its usual 0.5, because a lost word costs more than a heard silence."""
MIN_PAUSE_MS = 300
MARGIN_MS = 200
"""Sound that stays around speech."""
LATE_SHARE = 0.8
"""Pauses are looked for in the last fifth of a window only: with 30 s of context a window costs the same however short
it is. Looked for from the half on, ten minutes took 26 windows where 20 would hold them; so they take 23."""

_FRAME = SAMPLE_RATE // 50

Span = tuple[float, float]
"""Start and end in seconds."""


def find_speech(samples: Samples) -> list[Span]:
    """Give the stretches of speech by silero-vad, with a margin; none for silence, noise and music.

    Raises:
        MissingExtraError: faster-whisper, or onnxruntime, which it runs silero-vad with, is not installed.
    """
    try:
        import onnxruntime  # noqa: F401 - faster-whisper would miss it too late
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError as error:
        raise MissingExtraError(
            f"Finding speech needs {error.name}; install it with: pip install faster-whisper; or hear everything "
            "with --no-vad."
        ) from None
    if not len(samples):
        return []
    options = VadOptions(threshold=SPEECH_THRESHOLD, min_silence_duration_ms=MIN_PAUSE_MS, speech_pad_ms=MARGIN_MS)
    found = get_speech_timestamps(samples, options)
    spans = ((span["start"] / SAMPLE_RATE, min(span["end"], len(samples)) / SAMPLE_RATE) for span in found)
    return [(start_s, end_s) for start_s, end_s in spans if end_s > start_s]


def plan_windows(samples: Samples, max_window_s: float, *, vad: bool = True) -> list[Span]:
    """Lay windows over a recording.

    A recording that fits one window is heard whole, as in evaluation, unless nobody speaks in it.

    Args:
        samples: float32 (num_samples,) at 16 kHz.
        max_window_s: Longest window.
        vad: Leave out what is no speech; otherwise all sound is heard and cut where it is quietest.
    """
    length_s = len(samples) / SAMPLE_RATE
    speech = find_speech(samples) if vad else [(0.0, length_s)]
    if length_s <= max_window_s:
        return [(0.0, length_s)] if speech and length_s else []
    short = [piece for span in speech for piece in cut_at_quiet(samples, span, max_window_s)]
    return join_spans(short, max_window_s)


def cut_at_quiet(samples: Samples, span: Span, max_s: float) -> list[Span]:
    """Cut a span into pieces of at most `max_s`, each at the quietest 100 ms of its second half."""
    start_s, end_s = span
    pieces = []
    while end_s - start_s > max_s:
        low, high = (round((start_s + share * max_s) * SAMPLE_RATE) for share in (0.5, 1.0))
        frames = samples[low : low + (high - low) // _FRAME * _FRAME].reshape(-1, _FRAME)
        power = np.convolve((frames.astype(np.float64) ** 2).mean(axis=1), np.ones(5), mode="same")
        cut_s = low / SAMPLE_RATE + (int(power.argmin()) + 0.5) * _FRAME / SAMPLE_RATE
        pieces.append((start_s, cut_s))
        start_s = cut_s
    return [*pieces, (start_s, end_s)]


def join_spans(spans: Sequence[Span], max_s: float) -> list[Span]:
    """Join spans into windows of at most `max_s`; of the places to end a window late enough, the longest pause wins."""
    windows: list[Span] = []
    first = 0
    while first < len(spans):
        start_s = spans[first][0]
        last = first
        while (
            last + 1 < len(spans)
            and spans[last + 1][1] - start_s <= max_s
            and spans[last + 1][0] - spans[last][1] <= MAX_GAP_S
        ):
            last += 1
        is_full = last + 1 < len(spans) and spans[last + 1][0] - spans[last][1] <= MAX_GAP_S
        if is_full:
            late = [i for i in range(first, last + 1) if spans[i][1] - start_s >= LATE_SHARE * max_s] or [last]
            last = max(late, key=lambda i: (spans[i + 1][0] - spans[i][1], i))
        windows.append((start_s, spans[last][1]))
        first = last + 1
    assert all(one[1] <= other[0] + 1e-6 for one, other in pairwise(windows))
    return windows
