import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from rojak.features.mel import LogMel


@pytest.mark.parametrize("num_mels", [80, 128])
def test_equals_the_reference_front_end(num_mels: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=num_mels)
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, 16000 * seconds).astype(np.float32) for seconds in (1, 4)]
    expected = extractor(clips, sampling_rate=16000, return_tensors="pt")["input_features"]
    padded = np.zeros((2, 480000), np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    got = LogMel(extractor, torch.device("cpu"))(torch.from_numpy(padded))
    assert got.shape == (2, num_mels, 3000)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_a_trimmed_window_is_the_beginning_of_the_padded_one() -> None:
    front_end = LogMel(WhisperFeatureExtractor(feature_size=80), torch.device("cpu"))
    samples = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, 32000).astype(np.float32))
    trimmed = front_end(torch.cat([samples, torch.zeros(3200)])[None])
    padded = front_end(torch.cat([samples, torch.zeros(480000 - 32000)])[None])
    torch.testing.assert_close(trimmed[:, :, :200], padded[:, :, :200])
