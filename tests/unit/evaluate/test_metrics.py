import math
from collections.abc import Callable

import numpy as np
import pytest

from rojak.evaluate import metrics as m
from rojak.evaluate.metrics import COUNTS, METRICS


def counts(**values: float) -> dict[str, float]:
    return {**dict.fromkeys(COUNTS, 0.0), **values}


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (m.word_error_rate, counts(words=10, substitutions=1, deletions=2, insertions=3), 6 / 10),
        (m.word_error_rate, counts(words=2, insertions=5), 2.5),  # uncapped
        (m.spaced_word_error_rate, counts(spaced_words=8, spaced_errors=2), 1 / 4),
        (m.sentence_error_rate, counts(utterances=8, wrong_utterances=6), 3 / 4),
        (m.character_error_rate, counts(graphemes=50, grapheme_errors=5), 1 / 10),
        (m.substitution_rate, counts(words=10, substitutions=1, deletions=2, insertions=3), 1 / 10),
        (m.deletion_rate, counts(words=10, substitutions=1, deletions=2, insertions=3), 2 / 10),
        (m.insertion_rate, counts(words=10, substitutions=1, deletions=2, insertions=3), 3 / 10),
        (m.language_accuracy, counts(ms_words=6, ms_right=5, en_words=2, en_right=1), 6 / 8),
        # ms F1 = 10/13, en F1 = 2/5, ta is heard but never said and so is no class
        (
            m.language_macro_f1,
            counts(ms_words=6, ms_right=5, ms_heard=7, en_words=2, en_right=1, en_heard=3, ta_heard=1),
            (10 / 13 + 2 / 5) / 2,
        ),
        (m.switch_recall, counts(switches=4, switches_heard=6, switches_right=3), 3 / 4),
        (m.switch_precision, counts(switches=4, switches_heard=6, switches_right=3), 3 / 6),
        (m.switch_f1, counts(switches=4, switches_heard=6, switches_right=3), 6 / 10),
        (m.point_of_interest_error_rate, counts(embedded_words=5, embedded_errors=2), 2 / 5),
        (m.code_mixing_index, counts(utterances=4, cmi_sum=100), 25.0),
        (m.particle_recall, counts(particles=10, particles_heard=8, particles_right=7), 7 / 10),
        (m.particle_precision, counts(particles=10, particles_heard=8, particles_right=7), 7 / 8),
        (m.particle_f1, counts(particles=10, particles_heard=8, particles_right=7), 14 / 18),
        (m.particle_recall_near, counts(particles=10, particles_near=9), 9 / 10),
        (m.runaway_rate, counts(utterances=10, runaways=1), 1 / 10),
        (m.repeat_rate, counts(utterances=10, repeats=2), 2 / 10),
        (m.empty_rate, counts(utterances=10, empties=3), 3 / 10),
        (m.nonspeech_words_per_clip, counts(nonspeech_clips=4, nonspeech_words=6), 1.5),
        (m.nonspeech_heard_rate, counts(nonspeech_clips=4, nonspeech_clips_heard=3), 3 / 4),
        (m.real_time_factor, counts(timed_audio_s=100, timed_decode_s=7), 0.07),
    ],
)
def test_by_hand(function: Callable[[m.Counts], float], given: dict[str, float], expected: float) -> None:
    assert float(function(given)) == pytest.approx(expected, abs=1e-12)
    # The same function on resamples: one value each, NaN where a resample drew nothing to count.
    arrays = {name: np.array([value, 0.0, 2 * value]) for name, value in given.items()}
    resampled = function(arrays)
    assert resampled.shape == (3,)
    assert resampled[[0, 2]] == pytest.approx([expected, expected])
    assert np.isnan(resampled[1])


@pytest.mark.parametrize(("function", "thing"), [(m.switch_f1, "switches"), (m.particle_f1, "particles")])
def test_f1_needs_something_to_find(function: Callable[[m.Counts], float], thing: str) -> None:
    assert math.isnan(function(counts(**{f"{thing}_heard": 3})))
    assert function(counts(**{thing: 2, f"{thing}_heard": 3})) == 0


@pytest.mark.parametrize("name", METRICS)
def test_nothing_counted_is_not_a_number(name: str) -> None:
    assert math.isnan(METRICS[name].compute(counts()))
    assert set(METRICS[name].base) <= set(COUNTS)
