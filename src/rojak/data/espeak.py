"""Speech from libespeak-ng, in this process, with the sample at which each word starts.

The library and its voices come in the wheel of `espeakng_loader`; libespeak-ng is GPL-3 and is loaded at run time only,
to make speech. Reads its voice data, writes nothing.

libespeak-ng 1.52 carries state from call to call: the same text sounds a few samples different after other calls.
A fresh process with the same calls gives the same samples once its noise is seeded (see `Speaker`), so whoever needs
the same bytes twice renders fixed blocks, each in a process of its own (see `render.py`).
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rojak.errors import RojakError

SAMPLE_RATE = 22_050
"""Samples a second that libespeak-ng gives."""

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_EVENT_WORD = 1
_EVENT_END = 5
_RATE, _PITCH, _RANGE = 1, 3, 4


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h, API revision 12."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Voice:
    """How a speaker sets libespeak-ng.

    `variant` names a file of its `voices/!v` (may be empty); `pitch` and `pitch_range` are 0-99, `rate` words a minute.
    """

    variant: str
    pitch: int
    pitch_range: int
    rate: int


@dataclass(frozen=True)
class Spoken:
    """Speech with the sample at which each word starts and the one at which the last ends (22 050 Hz, float32)."""

    samples: NDArray[np.float32]
    starts: tuple[int, ...]
    end: int


class Speaker:
    """libespeak-ng, loaded once a process; keeps what the library hands back during one call."""

    def __init__(self) -> None:
        import espeakng_loader

        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise RojakError(f"libespeak-ng cannot be loaded ({error}); install espeakng-loader again.") from None
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        data_path = str(espeakng_loader.get_data_path()).encode()
        rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, _INITIALIZE_DONT_EXIT)
        if rate != SAMPLE_RATE:
            raise RojakError(
                f"libespeak-ng did not start with the voices in {data_path.decode()} (it answered {rate}); "
                "install espeakng-loader again."
            )
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # it seeds the breath of f2 and f3 with the time of day
        self._pcm: list[bytes] = []
        self._events: list[tuple[int, int, int]] = []
        self._callback = _Callback(self._receive)  # kept: the library calls it as long as it lives
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, words: Sequence[str], language: str, voice: Voice) -> Spoken:
        """Speak words in a row, without the silence that follows them.

        Args:
            words: The words, none of them empty.
            language: Name of a libespeak-ng voice: `ms`, `en`, `cmn`, `ta`.
            voice: The speaker.

        Raises:
            RojakError: The library refuses the voice or the text.
        """
        name = f"{language}+{voice.variant}" if voice.variant else language
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise RojakError(f"libespeak-ng has no voice '{name}'; install espeakng-loader again.")
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        text = " ".join(words)
        encoded = text.encode() + b"\0"
        self._pcm.clear()
        self._events.clear()
        status = self._library.espeak_Synth(encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        samples = np.frombuffer(b"".join(self._pcm), np.int16).astype(np.float32) / 32768.0
        if status != 0 or len(samples) == 0:
            raise RojakError(f"libespeak-ng could not speak '{text}' with the voice '{name}' (status {status}).")
        end = max((sample for kind, _, sample in self._events if kind == _EVENT_END), default=len(samples))
        end = min(end, len(samples)) or len(samples)
        return Spoken(samples[:end], _word_starts(words, self._events, end), end)

    def _receive(self, pcm: int | None, num_samples: int, events: "ctypes._Pointer[_Event]") -> int:
        if pcm and num_samples > 0:
            self._pcm.append(ctypes.string_at(pcm, num_samples * 2))
        index = 0
        while events[index].type:
            event = events[index]
            self._events.append((event.type, event.text_position, event.sample))
            index += 1
        return 0


def _word_starts(words: Sequence[str], events: Sequence[tuple[int, int, int]], end: int) -> tuple[int, ...]:
    """Match word events to words by their 1-based character positions.

    Where the library speaks two words as one ("of the"), the second starts by its share of characters.
    """
    offsets = np.cumsum([0] + [len(word) + 1 for word in words])
    known = {0: 0, len(words): end}
    for kind, position, sample in events:
        if kind == _EVENT_WORD:
            index = int(np.searchsorted(offsets, position - 1, side="right")) - 1
            if 0 < index < len(words) and index not in known:
                known[index] = sample
    indices = sorted(known)
    starts = np.interp(offsets, offsets[indices], [known[index] for index in indices])
    return tuple(int(start) for start in np.maximum.accumulate(starts)[:-1])
