"""Turn one `SourceItem` into one row of prepared data, or say why not. This is what the worker processes do.

Reads recordings, writes nothing. Imports no torch.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rojak.audio import Waveform, decode_audio, encode_flac, estimate_snr, is_prepared_flac, read_audio_bytes, to_pcm16
from rojak.data.checks import Fault, check_text, check_waveform
from rojak.data.settings import PrepareSettings
from rojak.data.sources import SourceItem
from rojak.errors import AudioError, ManifestError
from rojak.records import Utterance, quality_from_snr


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
    """A clip that passed every check of its own: the record, its FLAC bytes, and a fingerprint of its sound."""

    record: Utterance
    flac: bytes
    sound_hash: bytes


def prepare_clip(item: SourceItem, settings: PrepareSettings) -> Clip | Refusal:
    """Check, decode, resample and encode one recording.

    Raises:
        OSError: The machine failed (disk, memory), which is not the clip's fault.
    """
    result = _prepare(item, settings)
    if isinstance(result, Clip):
        return result
    path = item.fields.get("audio_filepath")
    shown = path if isinstance(path, str) else None
    return Refusal(item.fields["audio_id"], shown, result.reason, result.detail, item.where)


def _prepare(item: SourceItem, settings: PrepareSettings) -> Clip | Fault:
    if fault := item.fault or check_text(item.fields.get("text")):
        return fault
    assert item.audio is not None
    decoded = _decode(item.audio, settings)
    if isinstance(decoded, Fault):
        return decoded
    data, waveform = decoded
    if fault := check_waveform(waveform, settings):
        return fault
    try:
        record = _record(item, waveform, settings)
    except ManifestError as error:
        return Fault("bad_record", str(error).removeprefix(f"{item.where}: "))
    samples = waveform.samples
    flac = data if is_prepared_flac(data, len(samples)) else encode_flac(samples)
    sound_hash = hashlib.blake2b(to_pcm16(samples).tobytes(), digest_size=8).digest()
    return Clip(record, flac, sound_hash)


def _decode(path: Path, settings: PrepareSettings) -> tuple[bytes, Waveform] | Fault:
    """Read and decode a recording, telling faults of the file from faults of the machine (`OSError`)."""
    try:
        data = read_audio_bytes(path)
        if not data:
            return Fault("empty_file", "The file has 0 bytes.")
        return data, decode_audio(data, max_seconds=settings.max_duration_s, name=path.name)
    except AudioError as error:
        return Fault("undecodable", str(error))
    except PermissionError:
        return Fault("unreadable_file", "The file may not be read; check its permissions.")
    except FileNotFoundError:
        return Fault("missing_file", "The file vanished while prepare was running.")


def _record(item: SourceItem, waveform: Waveform, settings: PrepareSettings) -> Utterance:
    """Make the record: measured duration, SNR and quality where nobody gave them, the file's own rate and channels."""
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
    if fields.get("quality_score") is None and isinstance(fields["snr_db"], (int, float)):
        fields["quality_score"] = quality_from_snr(fields["snr_db"])
    return Utterance.from_dict(fields, item.where)


def extra_json(record: Utterance) -> str:
    """Give the fields that Rojak does not know as one JSON object, '' when there are none."""
    known = record.model_extra or {}
    return json.dumps(known, ensure_ascii=False, default=str) if known else ""
