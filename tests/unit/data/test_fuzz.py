"""Broken input of every kind is refused by name or by a `RojakError`; nothing else comes out."""

import io
import json
import shutil
from dataclasses import asdict

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rojak.audio import decode_audio
from rojak.data.checks import REASONS
from rojak.data.clips import Clip, prepare_clip
from rojak.data.items import RawItem, Renaming, finish_item
from rojak.data.manifests import read_json_items, read_jsonl_items, read_table_items
from rojak.data.mixture import compile_selection
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared, rows_to_table
from rojak.data.sources import open_source
from rojak.errors import AudioError, ConfigError, ManifestError, RojakError
from rojak.records import SPLITS

SETTINGS = PrepareSettings()


def encoded(kind):
    tone = 0.3 * np.sin(np.arange(12_000) / 8)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone, tone], axis=1), 22_050, format=kind)
    return buffer.getvalue()


def encoded_m4a():
    """AAC in MP4, which libsndfile does not know, so that FFmpeg's readers are tried too."""
    tone = (0.3 * np.sin(np.arange(12_288) / 8)).astype(np.float32).reshape(1, -1)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=22_050, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 22_050
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


ENCODED = {kind: encoded(kind) for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF")} | {"M4A": encoded_m4a()}


@pytest.mark.parametrize("kind", ENCODED)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_mutated_recordings_decode_or_are_refused(kind, data):
    original = ENCODED[kind]
    broken = bytearray(original[: data.draw(st.integers(0, len(original)))])
    for _ in range(data.draw(st.integers(0, 12))):
        if broken:
            place = data.draw(st.integers(0, min(len(broken), 200) - 1) | st.integers(0, len(broken) - 1))
            broken[place] = data.draw(st.integers(0, 255))
    try:
        wave = decode_audio(bytes(broken), max_seconds=30)
    except AudioError:
        return
    assert wave.duration_s <= 30.01
    assert np.isfinite(wave.samples).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["audio_id", "audio_filepath", "path", "text", "sentence", "duration", "offset", "speaker_id", "language", "words",
     "code_switches", "quality_score", "snr_db", "split", "source", "particles", "cmi", "original_channels"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(fields={"audio_filepath": "/"})
@example(fields={"mood": "\ud800"})
@example(fields={"code_switches": [{"start_word": 0, "end_word": 2**40, "language": "en"}]})
@example(fields={"audio_id": 2**70, "mood": 2**70, "snr_db": 1e308})
@given(fields=st.dictionaries(FIELDS | st.text(max_size=8), JSON, max_size=10))
def test_any_fields_become_a_clip_or_a_named_refusal(tmp_path, fields):
    (tmp_path / "a.flac").write_bytes(ENCODED["FLAC"])
    for path in (fields, {**fields, "audio_filepath": "a.flac", "text": "makan lah", "offset": None}):
        item = finish_item(RawItem(path, "here", tmp_path), Renaming(), tmp_path)
        (result,) = prepare_clip(item, SETTINGS)
        if isinstance(result, Clip):
            assert len(rows_to_table([result])) == 1
        else:
            assert result.reason in REASONS
            json.dumps(asdict(result), ensure_ascii=False).encode()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200) | JSON.map(json.dumps) | st.binary(max_size=100))
def test_any_manifest_is_read_or_refused(tmp_path, text):
    path = tmp_path / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    for reader in (read_json_items, read_jsonl_items, read_table_items):
        try:
            for _, item in reader(path):
                assert isinstance(item, dict)
        except ManifestError:
            pass


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.dictionaries(st.text(), st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=5))
def test_the_json_reader_agrees_with_the_standard_library(tmp_path, items):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(items, indent=2), encoding="utf-8")
    wanted = [{"audio_id": key, **value} for key, value in json.loads(path.read_text("utf-8")).items()]
    assert repr(sorted(map(repr, (dict(sorted(i.items())) for _, i in read_json_items(path))))) == repr(
        sorted(map(repr, (dict(sorted(w.items())) for w in wanted)))
    )


NAMES = st.sampled_from(["a", "b", "a.flac", "/etc/hostname", "..", "0", "0.5", "-1", "nan", "sox x |", "\u00a0", "லா"])
LINES = st.lists(st.lists(NAMES, max_size=5).map(" ".join), max_size=5).map(
    lambda lines: "\n".join(lines).encode()
) | st.binary(max_size=60)
EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["snr_db", "language", "particles", "mood", "true", "none", '"lah"', "3", "-1.5", "[1, 'a']", "()"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "<", "in", "not in", "and", "or", "is", "+", "**"]), inner).map(
            " ".join
        ),
        inner.map(lambda one: f"not {one}"),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"{one}.x()"),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(expression=EXPRESSIONS | st.text(max_size=30), fields=st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_selection_is_true_or_false_or_refused(expression, fields):
    try:
        selects = compile_selection(expression, ["mood"])
    except ConfigError:
        return
    assert selects({"mood": "happy", **fields}) in (True, False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tables=st.fixed_dictionaries({"wav.scp": LINES, "text": LINES, "utt2spk": LINES, "segments": LINES | st.none()}),
)
def test_any_kaldi_folder_is_read_or_refused(tmp_path, tables):
    for name, lines in tables.items():
        (tmp_path / name).unlink(missing_ok=True)
        if lines is not None:
            (tmp_path / name).write_bytes(lines)
    try:
        for item in open_source(tmp_path, SETTINGS).read():
            assert item.fields["audio_id"] and (item.fault is None or item.fault.reason in REASONS)
    except RojakError:
        pass


def parquet_bytes():
    buffer = io.BytesIO()
    rows = [{"audio": {"bytes": ENCODED["FLAC"], "path": "a.flac"}, "text": "makan", "extra": '{"mood": 1}'}] * 2
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


PARQUET = parquet_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 40),
)
def test_a_damaged_parquet_file_is_read_or_refused(tmp_path, places, cut):
    broken = bytearray(PARQUET[: len(PARQUET) - cut])
    for place, value in places:
        if place < len(broken):
            broken[place] = value
    (tmp_path / "train.parquet").write_bytes(broken)
    try:
        for item in open_source(tmp_path, SETTINGS).read():
            for result in prepare_clip(item, SETTINGS):
                assert isinstance(result, Clip) or result.reason in REASONS
    except RojakError:
        pass


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(st.dictionaries(FIELDS, JSON, max_size=8), min_size=1, max_size=4))
def test_any_corpus_is_prepared_or_refused(tmp_path, items):
    """The whole command, with one good clip among whatever comes."""
    shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.flac").write_bytes(ENCODED["FLAC"])
    good = {"audio_id": "good", "audio_filepath": "a.flac", "text": "makan lah"}
    sound = [{"audio_filepath": "a.flac", "text": "makan lah", **item} for item in items]
    (tmp_path / "corpus" / "transcripts.json").write_text(json.dumps([*items, *sound, good]), encoding="utf-8")
    try:
        done = prepare(tmp_path / "corpus", tmp_path / "out", settings=PrepareSettings(allow_bad=1.0), workers=0)
    except RojakError:
        return
    assert sum(done.clips.values()) + sum(done.refused.values()) == 2 * len(items) + 1
    assert sum(1 for split in SPLITS for _ in open_prepared(tmp_path / "out", split).records()) == sum(
        done.clips.values()
    )
