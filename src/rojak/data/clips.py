"""Turn one `SourceItem` into one row of prepared data, or say why not. This is what the worker processes do.

Reads recordings, writes nothing. Imports no torch.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from rojak.audio import (
    SAMPLE_RATE,
    Waveform,
    decode_audio,
    encode_flac,
    estimate_snr,
    is_prepared_flac,
    read_audio_bytes,
    to_pcm16,
)
from rojak.data.annotate import annotate
from rojak.data.checks import Fault, check_length, check_script, check_sound, check_speaking_rate, check_text
from rojak.data.items import SourceItem
from rojak.data.longclips import Piece, cut_long
from rojak.data.settings import PrepareSettings
from rojak.errors import AudioError, ManifestError
from rojak.records import Utterance

MAX_DECODED_BYTES = 1 << 30
"""Of one recording at its own rate and channels: half an hour of 48-kHz stereo fits, a file made to fill memory not."""


@dataclass(frozen=True)
class Refusal:
    """One line of `quarantine.jsonl`."""

    audio_id: str
    audio_filepath: str | None
    reason: str
    detail: str
    where: str


@dataclass(frozen=True)
class Clip:
    """A clip that passed every check of its own: the record, its FLAC bytes, and a fingerprint of its sound.

    `cut_from` names the recording of which it is a piece; None for a whole one.
    """

    record: Utterance
    flac: bytes
    sound_hash: bytes
    where: str
    cut_from: str | None = None


def prepare_clip(item: SourceItem, settings: PrepareSettings) -> list[Clip | Refusal]:
    """Check, decode, resample and encode one recording: one clip or refusal, or one for each piece of a long one.

    Raises:
        OSError: The machine failed (disk, memory), which is not the clip's fault.
    """
    text = item.fields.get("text")
    if fault := item.fault or check_text(text) or check_script(str(text), settings):
        return [_refuse(item, fault)]
    decoded = _decode(item, settings)
    if isinstance(decoded, Fault):
        return [_refuse(item, decoded)]
    data, waveform = decoded
    if fault := check_length(waveform, item.fields.get("duration"), settings):
        return [_refuse(item, fault)]
    if waveform.duration_s <= settings.max_duration_s:
        return [_judge(item, data, waveform, settings)]
    pieces = cut_long(item.fields, waveform.samples, settings.max_duration_s)
    if isinstance(pieces, Fault):
        return [_refuse(item, pieces)]
    return [_judge(*_cut_out(item, piece, waveform), settings) for piece in pieces]


def _cut_out(item: SourceItem, piece: Piece, waveform: Waveform) -> tuple[SourceItem, None, Waveform]:
    first, last = round(piece.start_s * SAMPLE_RATE), round(piece.end_s * SAMPLE_RATE)
    return replace(item, fields=piece.fields), None, replace(waveform, samples=waveform.samples[first:last])


def _refuse(item: SourceItem, fault: Fault) -> Refusal:
    path = item.fields.get("audio_filepath")
    shown = path if isinstance(path, str) else None
    return Refusal(item.fields["audio_id"], shown, fault.reason, fault.detail, item.where)


def _judge(item: SourceItem, data: bytes | None, waveform: Waveform, settings: PrepareSettings) -> Clip | Refusal:
    """Make the record and hold sound and text to the thresholds.

    Args:
        item: A whole recording or a piece, with the fields of its record.
        data: The bytes of its file, which are kept when they are prepared FLAC already; None for a piece.
        waveform: Its sound.
        settings: The thresholds.
    """
    try:
        record = _record(item, waveform, settings)
    except ManifestError as error:
        return _refuse(item, Fault("bad_record", str(error).removeprefix(f"{item.where}: ")))
    is_estimate = item.fields.get("snr_db") is None
    fault = check_text(record.text) or check_sound(waveform, record.snr_db, settings, is_estimate=is_estimate)
    if fault := fault or check_speaking_rate(record.text, record.duration, settings):
        return _refuse(item, fault)
    samples = waveform.samples
    flac = data if data and is_prepared_flac(data, len(samples)) else encode_flac(samples)
    sound_hash = hashlib.blake2b(to_pcm16(samples).tobytes(), digest_size=8).digest()
    recording = record.audio_filepath if item.length_s is not None else (record.model_extra or {}).get("cut_from")
    return Clip(record, flac, sound_hash, item.where, recording)


def _decode(item: SourceItem, settings: PrepareSettings) -> tuple[bytes | None, Waveform] | Fault:
    """Decode a recording, telling faults of the file from faults of the machine (`OSError`).

    Gives the file's bytes too, None for a piece of a longer recording.
    """
    assert item.audio is not None
    source, data, name = item.audio, None, str(item.fields.get("audio_filepath") or item.where)
    try:
        if item.length_s is None:
            source = data = source if isinstance(source, bytes) else read_audio_bytes(source)
            if not data:
                return Fault("empty_file", "The file has 0 bytes.")
        max_s = settings.max_long_s if settings.split_long else settings.max_duration_s
        waveform = decode_audio(
            source,
            max_seconds=max_s,
            start_s=item.start_s,
            length_s=item.length_s,
            name=name,
            max_decoded_bytes=MAX_DECODED_BYTES,
        )
    except AudioError as error:
        return Fault("undecodable", str(error))
    except PermissionError:
        return Fault("unreadable_file", "The file may not be read; check its permissions.")
    except FileNotFoundError:
        return Fault("missing_file", "The file vanished while prepare was running.")
    return data, waveform


def _record(item: SourceItem, waveform: Waveform, settings: PrepareSettings) -> Utterance:
    """Make the record: what was measured, what the corpus says, and annotations where it says nothing."""
    fields: dict[str, Any] = {
        "source": settings.source_name,
        **item.fields,
        "text": item.fields["text"].strip(),
        "duration": round(waveform.duration_s, 4),
    }
    fields.setdefault("original_sample_rate", waveform.original_rate)
    fields.setdefault("original_channels", waveform.original_channels)
    if fields.get("snr_db") is None:
        snr_db = estimate_snr(waveform.samples)
        fields["snr_db"] = None if snr_db is None else round(snr_db, 1)
    record = Utterance.from_dict(fields, item.where)
    num_words = len(record.words or ())
    for switch in record.code_switches or ():
        if not 0 <= switch.start_word < switch.end_word <= num_words:
            raise ManifestError(
                f"{item.where}: code_switches: [{switch.start_word}, {switch.end_word}) of {num_words} words."
            )
    return annotate(record)


def extra_json(record: Utterance) -> str:
    """Give the fields that Rojak does not know as one JSON object, '' when there are none."""
    known = record.model_extra or {}
    return json.dumps(known, ensure_ascii=False, default=str) if known else ""
