"""Word times: the segmentation is the best one, times stay inside the clip and in order."""

from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from rojak.model.whisper import encode_audio, load_whisper
from rojak.model.word_times import segment, time_words


def test_the_segmentation_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for rows, columns in [(1, 4), (2, 5), (3, 7), (4, 4)]:
        score = rng.standard_normal((rows, columns)).astype(np.float32)

        def value(borders: list[int], score: np.ndarray = score, rows: int = rows) -> float:
            return sum(score[i, borders[i] : borders[i + 1]].sum() for i in range(rows))

        best = max(value([0, *cuts, columns]) for cuts in combinations(range(1, columns), rows - 1))
        assert abs(value(segment(score)) - best) < 1e-4


def test_more_tokens_than_positions_is_no_crash() -> None:
    borders = segment(np.zeros((5, 3), np.float32))
    assert borders[0] == 0
    assert borders[-1] == 3
    assert borders == sorted(borders)


def test_words_are_in_order_inside_the_clip_and_do_not_depend_on_the_batch(tiny_dir: Path) -> None:
    whisper = load_whisper(str(tiny_dir))
    torch.manual_seed(1)
    encoded = encode_audio(whisper.network, torch.randn(3, 80, 200)).detach()
    texts = ["Eh boleh lah", "", "can you tolong check 水果"]
    ids = [whisper.tokens.encode(text) for text in texts]
    languages, durations = ["ms", "en", "en"], [1.5, 1.0, 2.0]
    together = time_words(whisper, encoded, languages, ids, durations)
    assert [[word.word for word in words] for words in together] == [
        ["Eh", "boleh", "lah"],
        [],
        ["can", "you", "tolong", "check", "水", "果"],
    ]
    for words, duration in zip(together, durations, strict=True):
        times = [time for word in words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert all(0 <= time <= duration for time in times)
        assert all(0 <= word.confidence <= 1 for word in words)
    assert [word.language for word in together[2]] == ["en", "en", "ms", "en", "zh", "zh"]
    alone = [
        time_words(whisper, encoded[i : i + 1], languages[i : i + 1], ids[i : i + 1], durations[i : i + 1])[0]
        for i in range(3)
    ]
    for one, all_ in zip(alone, together, strict=True):
        assert [(w.word, w.start, w.end) for w in one] == [(w.word, w.start, w.end) for w in all_]


def test_attention_is_put_back_as_it_was(tiny_dir: Path) -> None:
    whisper = load_whisper(str(tiny_dir))
    before = whisper.network.config._attn_implementation
    time_words(whisper, torch.zeros(1, 20, 32), ["ms"], [whisper.tokens.encode("ya")], [0.4])
    assert whisper.network.config._attn_implementation == before
