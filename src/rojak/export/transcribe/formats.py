"""A transcript as text, JSON, SubRip, WebVTT or tab-separated values, each a function of a `Transcript` alone."""

import json
import textwrap
from collections.abc import Callable, Iterator

from rojak.export.transcribe.transcript import Segment, Transcript
from rojak.records import HeardWord

LINE_CHARACTERS = 42
"""Usual width of a subtitle line; Han characters count two."""
CUE_SECONDS = 7.0
PAUSE_SECONDS = 1.0

Cue = tuple[float, float, str]


def to_txt(transcript: Transcript) -> str:
    """Give one line a segment."""
    return "".join(f"{_one_line(segment.text)}\n" for segment in transcript.segments)


def to_json(transcript: Transcript) -> str:
    """Give everything that is known; see `Transcript.to_json`."""
    return json.dumps(transcript.to_json(), ensure_ascii=False, indent=2) + "\n"


def to_srt(transcript: Transcript) -> str:
    """Give SubRip subtitles."""
    blocks = (
        f"{number}\n{_clock(start_s, ',')} --> {_clock(end_s, ',')}\n{_wrap(text)}\n"
        for number, (start_s, end_s, text) in enumerate(cues(transcript), start=1)
    )
    return "\n".join(blocks)


def to_vtt(transcript: Transcript) -> str:
    """Give WebVTT subtitles (https://www.w3.org/TR/webvtt1/)."""
    blocks = ["WEBVTT\n"]
    for start_s, end_s, text in cues(transcript):
        safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(start_s, '.')} --> {_clock(end_s, '.')}\n{_wrap(safe)}\n")
    return "\n".join(blocks)


def to_tsv(transcript: Transcript) -> str:
    """Give `start`, `end` (milliseconds) and `text`, the columns of openai-whisper."""
    rows = (f"{round(s.start * 1000)}\t{round(s.end * 1000)}\t{_one_line(s.text)}\n" for s in transcript.segments)
    return "".join(["start\tend\ttext\n", *rows])


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_txt,
    "json": to_json,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
}


def cues(transcript: Transcript) -> Iterator[Cue]:
    """Give subtitles: pieces of two lines and seven seconds where words have times, otherwise whole segments."""
    for segment in transcript.segments:
        if segment.words and all(word.start is not None and word.end is not None for word in segment.words):
            yield from _cut_cues(segment)
        elif segment.text.strip():
            yield segment.start, segment.end, _one_line(segment.text)


def _cut_cues(segment: Segment) -> Iterator[Cue]:
    """Fill subtitles word by word; a pause, a full length or a long time ends one."""
    group: list[HeardWord] = []
    for word in segment.words:
        if group and _ends_before(group, word):
            yield _cue(group)
            group = []
        group.append(word)
    yield _cue(group)


def _ends_before(group: list[HeardWord], word: HeardWord) -> bool:
    first, last = group[0], group[-1]
    assert first.start is not None
    assert last.end is not None
    assert word.start is not None
    assert word.end is not None
    too_long = _width(_join([*group, word])) > 2 * LINE_CHARACTERS or word.end - first.start > CUE_SECONDS
    return too_long or word.start - last.end > PAUSE_SECONDS


def _cue(group: list[HeardWord]) -> Cue:
    assert group[0].start is not None
    assert group[-1].end is not None
    return group[0].start, max(group[-1].end, group[0].start), _join(group)


def _join(words: list[HeardWord]) -> str:
    """Join words with spaces, but not between Han characters."""
    text = ""
    for word in words:
        both_han = text and _is_wide(text[-1]) and _is_wide(word.word[:1])
        text += word.word if not text or both_han else f" {word.word}"
    return text


def _is_wide(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uff60"


def _width(text: str) -> int:
    return sum(2 if _is_wide(character) else 1 for character in text)


def _wrap(text: str) -> str:
    """Break into lines of `LINE_CHARACTERS`; text without spaces is broken anywhere."""
    wide = sum(map(_is_wide, text)) > len(text) / 2
    return "\n".join(textwrap.wrap(text, LINE_CHARACTERS // 2 if wide else LINE_CHARACTERS)) or text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _clock(seconds: float, point: str) -> str:
    """Write hours:minutes:seconds and milliseconds."""
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"
