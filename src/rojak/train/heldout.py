"""The loss on utterances that are not trained on, to be held beside the training loss.

Reads prepared shards; gives one number.
"""

from collections.abc import Sequence

import numpy as np
import torch

from rojak.config.schema import AugmentConfig, TrainConfig, WindowsConfig
from rojak.data.dataset import Dataset
from rojak.evaluate.decode import Context
from rojak.features.mel import WINDOW_SECONDS
from rojak.features.windows import Clip, plan_step
from rojak.model.whisper import MAX_TARGET_TOKENS, Whisper, encode_audio, token_losses
from rojak.train.batch import BatchBuilder


@torch.no_grad()
def heldout_loss(
    whisper: Whisper, config: TrainConfig, data: Dataset, indices: Sequence[int], context: Context
) -> float:
    """Give the mean loss over the label tokens of some utterances, each alone in its window, without augmentation.

    Args:
        whisper: In evaluation mode.
        config: Of the run.
        data: Prepared utterances.
        indices: Which of them.
        context: Encoder context, as in decoding.
    """
    windows = WindowsConfig(mode="trim" if context == "trim" else "pad", timestamp_share=0.0)
    max_batch_s = config.windows.max_batch_seconds or config.batch_size * WINDOW_SECONDS
    clips = [Clip(i, data.utterances[i].duration, "", 0) for i in indices]
    builder = BatchBuilder(data, whisper.tokens, config)
    log_mel, total, num_tokens = whisper.log_mel(), 0.0, 0
    for batch_windows in plan_step(clips, windows, max_batch_s, MAX_TARGET_TOKENS, np.random.default_rng(0)):
        batch = builder.build(batch_windows, AugmentConfig(), 0)
        encoded = encode_audio(whisper.network, log_mel(batch.waveforms))
        losses = token_losses(
            whisper.network, encoded, batch.inputs.to(whisper.device), batch.labels.to(whisper.device)
        )
        total += losses.sum().item()
        num_tokens += len(losses)
    return total / num_tokens
