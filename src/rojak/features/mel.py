"""Log-mel features, computed in batches on the device that trains.

Takes waveforms, gives what `transformers.WhisperFeatureExtractor` would give for them, only faster; nothing is stored.
"""

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

HOP_LENGTH = 160
"""Samples between two mel frames: 10 ms at 16 kHz."""
SAMPLES_PER_POSITION = 2 * HOP_LENGTH
"""Samples behind one encoder position (the second convolution has stride 2): 20 ms."""
WINDOW_SECONDS = 30.0


class LogMel:
    """Whisper's log-mel front end (Radford et al., 2022, section 2.2) for one device.

    Args:
        extractor: The model's own feature extractor; its filters (80 or 128 mels) are used.
        device: Where the computation runs and the result stays.
    """

    def __init__(self, extractor: WhisperFeatureExtractor, device: torch.device) -> None:
        self.num_mels: int = extractor.feature_size
        self._n_fft: int = extractor.n_fft
        self._window = torch.hann_window(self._n_fft, device=device)
        filters = np.ascontiguousarray(extractor.mel_filters.T, dtype=np.float32)
        self._filters = torch.from_numpy(filters).to(device)

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Compute features.

        Args:
            waveforms: `(batch, samples)` float32 at 16 kHz, silence-padded; `samples` a multiple of 320.

        Returns:
            `(batch, mels, samples / 160)` float32, clipped to 8 (80 dB) below each clip's own maximum.
        """
        waveforms = waveforms.to(self._window.device, torch.float32)
        spectrum = torch.stft(waveforms, self._n_fft, HOP_LENGTH, window=self._window, return_complex=True)
        power = torch.view_as_real(spectrum[..., :-1]).square().sum(dim=-1)
        log_mel = (self._filters @ power).clamp(min=1e-10).log10()
        floor = log_mel.amax(dim=(1, 2), keepdim=True) - 8.0
        return (torch.maximum(log_mel, floor) + 4.0) / 4.0
