"""Temperature fallback: decode again, less greedily, what came out unlikely or repeating itself.

Rules and limits are those of openai/whisper's `transcribe.py`. A clip's random numbers follow from its own sound and
the temperature, so that the same clip always gets the same text.
"""

import zlib
from collections.abc import Callable, Sequence

from rojak.evaluate.search import Hypothesis

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried in order after the first decoding."""
MIN_MEAN_LOGPROB = -1.0
MAX_COMPRESSION = 2.4

Retry = Callable[[Sequence[int], float], Sequence[Hypothesis]]
"""From places in the batch and a temperature to what is heard there at it."""


def compression_ratio(text: str) -> float:
    """Give the bytes of a text over those of it compressed: high where it says the same again and again."""
    data = text.encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data))


def needs_retry(found: Hypothesis, text: str) -> bool:
    """Tell whether a text is too unlikely or too repetitive to be believed."""
    return found.mean_logprob < MIN_MEAN_LOGPROB or compression_ratio(text) > MAX_COMPRESSION


def fall_back(
    found: Sequence[Hypothesis], write: Callable[[Sequence[int]], str], retry: Retry
) -> tuple[list[Hypothesis], list[float]]:
    """Decode what cannot be believed again at rising temperatures; the last try stands, believed or not.

    Args:
        found: First decoding of every clip of a batch.
        write: From token ids to text.
        retry: Decodes some of the clips again.

    Returns:
        What was heard, and the temperature it was heard at (0: at once).
    """
    results, temperatures = list(found), [0.0] * len(found)
    for temperature in TEMPERATURES:
        places = [place for place, one in enumerate(results) if needs_retry(one, write(one.ids))]
        if not places:
            break
        for place, again in zip(places, retry(places, temperature), strict=True):
            results[place], temperatures[place] = again, temperature
    return results, temperatures
