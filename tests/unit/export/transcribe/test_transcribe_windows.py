import itertools
import sys

import numpy as np
import pytest

from rojak.audio import SAMPLE_RATE
from rojak.data.dataset import Dataset
from rojak.errors import MissingExtraError
from rojak.export.transcribe.windows import cut_at_quiet, find_speech, join_spans, plan_windows


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(np.arange(round(seconds * SAMPLE_RATE)) / 5)).astype(np.float32)


def test_a_long_stretch_is_cut_where_it_is_quiet() -> None:
    samples = np.concatenate([tone(7.0), tone(0.3, 0.001), tone(9.0), tone(0.3, 0.001), tone(3.4)])
    pieces = cut_at_quiet(samples, (0.0, 20.0), 10.0)
    assert [round(end, 1) for _, end in pieces[:-1]] == pytest.approx([7.15, 16.45], abs=0.16)
    assert pieces[0][0] == 0.0
    assert pieces[-1][1] == 20.0
    assert all(one[1] == other[0] for one, other in itertools.pairwise(pieces))
    assert all(end - start <= 10.0 for start, end in pieces)


def test_spans_are_joined_up_to_the_limit_and_parted_at_the_longest_pause() -> None:
    spans = [(0.0, 3.0), (5.0, 8.2), (9.0, 9.6), (9.7, 12.0), (12.2, 14.0)]
    assert join_spans(spans, 10.0) == [(0.0, 8.2), (9.0, 14.0)], "the longest pause of the last fifth"
    assert join_spans(spans, 30.0) == [(0.0, 14.0)]


def test_long_silence_parts_windows_and_nothing_is_lost() -> None:
    assert join_spans([(0.0, 3.0), (6.5, 9.0), (9.1, 10.0)], 30.0) == [(0.0, 3.0), (6.5, 10.0)]
    rng = np.random.default_rng(3)
    for _ in range(50):
        edges = np.cumsum(rng.uniform(0.1, 4.0, 40))
        spans = [(float(a), float(b)) for a, b in edges.reshape(-1, 2)]
        windows = join_spans(spans, 15.0)
        assert all(end - start <= 15.0 for start, end in windows)
        inside = [any(a <= start and end <= b for a, b in windows) for start, end in spans]
        assert all(inside)


def test_what_fits_one_window_is_heard_whole_and_silence_is_not_heard(data_dir: object) -> None:
    data = Dataset(data_dir, ("train",))  # type: ignore[arg-type]
    speech = data.read_audio(0)
    assert plan_windows(speech, 30.0) == [(0.0, len(speech) / SAMPLE_RATE)]
    silence = np.zeros(8 * SAMPLE_RATE, np.float32)
    assert plan_windows(silence, 30.0) == []
    assert plan_windows(silence[:0], 30.0, vad=False) == []
    padded = np.concatenate([silence, speech, silence, speech])
    found = find_speech(padded)
    assert 7.5 < found[0][0] < 9.0
    windows = plan_windows(padded, 10.0)
    assert len(windows) == 2
    assert windows[1][1] == pytest.approx(len(padded) / SAMPLE_RATE, abs=0.6)


def test_without_voice_detection_all_sound_is_heard() -> None:
    samples = tone(65.0)
    windows = plan_windows(samples, 30.0, vad=False)
    assert windows[0][0] == 0.0
    assert windows[-1][1] == 65.0
    assert all(one[1] == other[0] for one, other in itertools.pairwise(windows))
    assert max(end - start for start, end in windows) <= 30.0


@pytest.mark.parametrize("module", ["onnxruntime", "faster_whisper.vad"])
def test_speech_cannot_be_found_without_its_program(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"needs {module}; .* pip install faster-whisper; .* --no-vad"):
        find_speech(tone(1.0))
