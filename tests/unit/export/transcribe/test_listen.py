import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import AudioError, InputError
from rojak.export.runtime import Decoded, Languages, RuntimeOptions
from rojak.export.transcribe.listen import ListenOptions, listen
from rojak.export.transcribe.sound import Recording, find_recordings, read_recording
from rojak.export.transcribe.transcript import Transcript
from rojak.records import HeardWord


class Echo:
    """Hears how loud a window is: each recording of a test has a level of its own."""

    name, kind, num_mels, languages = "echo", "transformers", 80, ("ms", "en")

    def __init__(self, *, trim_safe: bool = False, words: bool = False) -> None:
        self.trim_safe = trim_safe
        self.words = words
        self.calls: list[tuple[list[float], Languages, RuntimeOptions | None]] = []

    def transcribe(
        self, audio: Sequence[Samples], language: Languages = None, options: RuntimeOptions | None = None
    ) -> list[Decoded]:
        self.calls.append(([len(samples) / SAMPLE_RATE for samples in audio], language, options))
        spoken = (HeardWord(word="jangan", language="ms"), HeardWord(word="late", language="en", restored=True))
        if self.words:
            times = ({"start": 0.5, "end": 0.9, "confidence": 0.7}, {"start": 1.0, "end": 1.4, "confidence": 0.6})
            spoken = tuple(word.model_copy(update=time) for word, time in zip(spoken, times, strict=True))
        return [
            Decoded(f"jangan late {np.abs(samples).max():.1f}", (), math.log(0.5), "ms", spoken, 0.0)
            for samples in audio
        ]


def write_tone(path: Path, seconds: float, level: float = 0.3, rate: int = SAMPLE_RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, level * np.sin(np.arange(round(seconds * rate)) * 2000 / rate), rate)
    return path


NO_VAD = ListenOptions(vad=False)


def test_windows_of_many_recordings_share_batches_and_come_back_to_their_own(tmp_path: Path) -> None:
    paths = [write_tone(tmp_path / f"{i}.wav", 2.0 + i, 0.1 * (i + 1)) for i in range(5)]
    runtime = Echo()
    done: list[float] = []
    results = {
        recording.stem: result
        for recording, result in listen(find_recordings([str(tmp_path)]), runtime, NO_VAD, on_progress=done.append)
    }
    assert len(runtime.calls) == 1
    assert runtime.calls[0][0] == sorted(runtime.calls[0][0])
    for i in range(len(paths)):
        result = results[str(i)]
        assert isinstance(result, Transcript)
        assert result.text == f"jangan late {0.1 * (i + 1):.1f}"
        assert result.duration_s == pytest.approx(2.0 + i)
        assert result.segments[0].confidence == pytest.approx(0.5)
    assert sum(done) == pytest.approx(sum(2.0 + i for i in range(5)))


def test_long_recordings_are_heard_in_windows_that_keep_their_place(tmp_path: Path) -> None:
    write_tone(tmp_path / "long.wav", 100.0)
    for trim_safe, longest, context in ((False, 30.0, "full"), (True, 15.0, "trim")):
        runtime = Echo(trim_safe=trim_safe)
        [(_, result)] = listen(find_recordings([str(tmp_path / "long.wav")]), runtime, NO_VAD)
        assert isinstance(result, Transcript)
        lengths = [length for call in runtime.calls for length in call[0]]
        assert max(lengths) <= longest
        assert sum(lengths) == pytest.approx(100.0, abs=0.01)
        assert all(call[2] is not None and call[2].context == context for call in runtime.calls)
        starts = [segment.start for segment in result.segments]
        assert starts == sorted(starts)
        assert result.segments[-1].end == pytest.approx(100.0)
        assert result.times == "segments"
        assert all(word.start is None and word.confidence is None for word in result.segments[0].words)


def test_a_full_context_batch_counts_thirty_seconds_a_window(tmp_path: Path) -> None:
    for i in range(5):
        write_tone(tmp_path / f"{i}.wav", 1.0)
    runtime = Echo()
    list(listen(find_recordings([str(tmp_path)]), runtime, replace(NO_VAD, batch_seconds=60.0, context="full")))
    assert [len(call[0]) for call in runtime.calls] == [2, 2, 1]
    runtime = Echo()
    list(listen(find_recordings([str(tmp_path)]), runtime, replace(NO_VAD, batch_seconds=60.0, context="trim")))
    assert [len(call[0]) for call in runtime.calls] == [5]


def test_word_times_are_those_of_the_recording_and_words_have_languages(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 40.0)
    options = replace(NO_VAD, word_times=True, max_window_s=10.0)
    [(_, result)] = listen(find_recordings([str(tmp_path)]), Echo(words=True), options)
    assert isinstance(result, Transcript)
    assert result.times == "words"
    for segment in result.segments:
        assert [(word.word, word.language) for word in segment.words] == [("jangan", "ms"), ("late", "en")]
        assert [word.restored for word in segment.words] == [False, True]
        assert segment.language == "mixed"
        assert segment.start == segment.words[0].start
    third = result.segments[2]
    assert third.words[1].start is not None
    assert third.words[1].start == pytest.approx(third.words[0].start + 0.5)  # type: ignore[operator]
    assert third.words[0].confidence == 0.7
    assert third.start > 15.0


def test_a_bad_recording_gives_its_error_and_the_others_go_on(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 2.0)
    (tmp_path / "b.wav").write_bytes(b"RIFF nothing of the kind" * 9)
    (tmp_path / "c.wav").touch()
    recordings = [*find_recordings([str(tmp_path)]), Recording(tmp_path / "gone.wav", "gone")]
    results = {recording.stem: result for recording, result in listen(recordings, Echo(), NO_VAD)}
    assert isinstance(results["a"], Transcript)
    assert {name for name, result in results.items() if isinstance(result, AudioError)} == {"b", "c", "gone"}
    assert "empty" in str(results["c"])
    assert "does not exist" in str(results["gone"])


def test_a_recording_without_speech_has_no_segments_and_no_batch(tmp_path: Path) -> None:
    write_tone(tmp_path / "hum.wav", 40.0, 0.0)
    runtime = Echo()
    [(_, result)] = listen(find_recordings([str(tmp_path)]), runtime)
    assert isinstance(result, Transcript)
    assert result.segments == ()
    assert result.language is None
    assert runtime.calls == []


def test_the_long_way_of_reading_gives_the_same_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tone(tmp_path / "a.flac", 5.0, 0.3, 44_100)
    short = read_recording(path)
    monkeypatch.setattr("rojak.export.transcribe.sound.SMALL_SECONDS", 1.0)
    long = read_recording(path)
    assert len(long) == pytest.approx(len(short), abs=400)
    middle = slice(SAMPLE_RATE, 4 * SAMPLE_RATE)
    assert np.abs(long[middle] - short[middle]).max() < 0.01
    bad = tmp_path / "b.flac"
    bad.write_bytes(path.read_bytes()[:50])
    monkeypatch.setattr("rojak.export.transcribe.sound.SMALL_BYTES", 1)
    with pytest.raises(AudioError, match=r"b\.flac"):
        read_recording(bad)


def test_folders_patterns_and_files_are_found_and_named_once(tmp_path: Path) -> None:
    for name in ("x/a.wav", "x/deep/b.WAV", "x/a.mp3", "x/notes.txt", "y/c.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [r.stem for r in find_recordings([str(tmp_path / "x")])]
    assert sorted(names) == ["a.mp3", "a.wav", "deep/b"]
    pattern = [r.stem for r in find_recordings([str(tmp_path / "**" / "*.[fw]*"), str(tmp_path / "y" / "c.flac")])]
    assert sorted(pattern) == ["a", "c"]
    (tmp_path / "y" / "a.wav").touch()
    with pytest.raises(InputError, match="same name"):
        find_recordings([str(tmp_path / "x" / "a.wav"), str(tmp_path / "y" / "a.wav")])
    with pytest.raises(InputError, match="no audio"):
        (tmp_path / "z").mkdir()
        find_recordings([str(tmp_path / "z")])
    with pytest.raises(InputError, match="no such file"):
        find_recordings([str(tmp_path / "*.ogg")])
