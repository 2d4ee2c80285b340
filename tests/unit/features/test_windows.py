import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rojak.config.schema import WindowsConfig
from rojak.features.windows import GRID_S, Clip, padded_seconds, plan_step

clips_strategy = st.lists(
    st.tuples(st.floats(0.2, 30.0), st.sampled_from("abc"), st.integers(1, 120)), min_size=1, max_size=40
).map(lambda rows: [Clip(i, d, s, t) for i, (d, s, t) in enumerate(rows)])


def plan(clips: list[Clip], mode: str, max_batch_s: float = 240.0, **settings: float) -> list:
    config = WindowsConfig.model_validate({"mode": mode, **settings})
    return plan_step(clips, config, max_batch_s, 440, np.random.default_rng(0))


@pytest.mark.parametrize("mode", ["pad", "trim", "pack", "mixed"])
@given(clips=clips_strategy)
def test_every_clip_is_in_exactly_one_window_that_holds_it(mode: str, clips: list[Clip]) -> None:
    windows = [window for batch in plan(clips, mode) for window in batch]
    assert sorted(clip.index for window in windows for clip in window.clips) == list(range(len(clips)))
    for window in windows:
        assert window.speech_s <= window.length_s + 1e-6
        assert window.length_s <= 30.0
        assert len(window.clips) == 1 or sum(clip.num_tokens + 2 for clip in window.clips) <= 440


@given(clips=clips_strategy)
def test_a_micro_batch_stays_within_its_seconds(clips: list[Clip]) -> None:
    for batch in plan(clips, "mixed", max_batch_s=60.0):
        assert padded_seconds(batch) <= 60.0 or len(batch) == 1


def test_pad_gives_thirty_seconds_trim_gives_the_clip() -> None:
    clips = [Clip(0, 4.2, "a", 10), Clip(1, 4.2, "a", 10)]
    assert [w.length_s for batch in plan(clips, "pad") for w in batch] == [30.0, 30.0]
    for window in (w for batch in plan(clips, "trim") for w in batch):
        assert 4.2 <= window.length_s < 4.2 + GRID_S


def test_pack_fills_windows_with_the_same_speaker_first() -> None:
    clips = [Clip(i, 10.0, "ab"[i % 2], 10) for i in range(6)]
    windows = [w for batch in plan(clips, "pack") for w in batch]
    assert sorted(len(w.clips) for w in windows) == [3, 3]
    assert all(len({clip.speaker_id for clip in w.clips}) == 1 for w in windows)


def test_packed_windows_stay_within_the_wanted_seconds_and_a_longer_clip_stands_alone() -> None:
    clips = [Clip(i, d, "a", 10) for i, d in enumerate((3.0, 3.0, 3.0, 9.0))]
    windows = [w for batch in plan(clips, "pack", pack_seconds=7.0) for w in batch]
    assert sorted(len(w.clips) for w in windows) == [1, 1, 2]
    assert max(w.speech_s for w in windows if len(w.clips) > 1) <= 7.0


def test_timestamp_share_is_kept() -> None:
    clips = [Clip(i, 29.0, "a", 10) for i in range(400)]
    kept = [w.timestamps for batch in plan(clips, "pack", timestamp_share=0.3) for w in batch]
    assert 0.2 < np.mean(kept) < 0.4
    assert not any(w.timestamps for batch in plan(clips, "trim") for w in batch)


def test_trimming_four_second_clips_computes_far_less_than_padding() -> None:
    rng = np.random.default_rng(3)
    clips = [Clip(i, float(d), "a", 10) for i, d in enumerate(rng.uniform(2.5, 6.0, 32))]
    padded = {m: sum(padded_seconds(b) for b in plan(clips, m, 480.0)) for m in ("pad", "trim", "pack", "mixed")}
    speech = sum(clip.duration for clip in clips)
    assert padded["pad"] == 32 * 30
    assert padded["trim"] < 1.35 * speech
    assert padded["pack"] < 1.35 * speech
    assert padded["mixed"] < 1.5 * speech


def test_the_same_numbers_give_the_same_plan() -> None:
    clips = [Clip(i, 2.0 + i / 7, "ab"[i % 2], 10) for i in range(20)]
    assert plan(clips, "mixed") == plan(clips, "mixed")


@pytest.mark.parametrize("mode", ["trim", "mixed"])
@given(clips=clips_strategy, max_batch_s=st.floats(1.0, 500.0), num_processes=st.integers(1, 9))
def test_how_finely_a_step_is_cut_changes_no_window(
    mode: str, clips: list[Clip], max_batch_s: float, num_processes: int
) -> None:
    """Not even by the silence behind a clip, which the encoder hears."""
    config = WindowsConfig.model_validate({"mode": mode, "nonspeech_share": 0.1})
    whole = plan_step(clips, config, 1e9, 440, np.random.default_rng(0))
    fine = plan_step(clips, config, max_batch_s, 440, np.random.default_rng(0), num_processes)
    assert len(fine) >= len(whole)
    for plan in (whole, fine):
        assert all(len({window.length_s for window in batch}) == 1 for batch in plan)
    assert sorted(map(str, sum(whole, []))) == sorted(map(str, sum(fine, [])))  # noqa: RUF017
