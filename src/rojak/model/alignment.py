"""Teach from word times where they are known: what each encoder position says, and where each token is heard.

From random weights a speech model learns to guess text long before it learns to listen. Two more losses end that: a
temporary linear head names the token spoken at every encoder position, and half of the cross-attention heads are asked
to look where the token is (guided attention; Tachibana et al., 2018, here with known times instead of a diagonal).
"""

import torch
from torch import nn
from transformers import WhisperForConditionalGeneration

from rojak.model.whisper import IGNORED

POSITION_S = 0.02
SLACK_S = 0.1
"""How far outside its own time a token may look."""


def build_head(dim: int, num_text_tokens: int, device: torch.device) -> nn.Linear:
    """Build the linear layer from encoder positions to text tokens and, as the last class, silence."""
    return nn.Linear(dim, num_text_tokens + 1, device=device)


def position_targets(labels: torch.Tensor, times: torch.Tensor, num_positions: int, silence: int) -> torch.Tensor:
    """Give the token spoken at every encoder position.

    Args:
        labels: `(batch, tokens)`.
        times: `(batch, tokens, 2)` start and end in seconds, negative where a token has none.
        num_positions: Positions of the encoder output.
        silence: Class of a position at which nothing is spoken.

    Returns:
        `(batch, positions)`.
    """
    heard = _inside(times, num_positions, slack_s=0.0)
    spoken, token = heard.max(dim=1)
    return torch.where(spoken, labels.gather(1, token), silence)


def alignment_losses(
    network: WhisperForConditionalGeneration,
    head: nn.Linear,
    encoded: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    times: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the token losses, as `token_losses` does, and the mean alignment loss of the batch.

    Args:
        network: Plain model, with eager attention.
        head: From `build_head`.
        encoded: `(batch, positions, dim)` encoder output.
        inputs: `(batch, tokens)` decoder input.
        labels: `(batch, tokens)`.
        times: `(batch, tokens, 2)` seconds, negative where unknown.
    """
    output = network.model.decoder(
        input_ids=inputs, encoder_hidden_states=encoded, use_cache=False, output_attentions=True
    )
    learnt = labels != IGNORED
    logits = network.proj_out(output.last_hidden_state[learnt]).float()
    losses = nn.functional.cross_entropy(logits, labels[learnt], reduction="none")
    num_positions = encoded.shape[1]
    targets = position_targets(labels, times, num_positions, head.out_features - 1)
    naming = nn.functional.cross_entropy(head(encoded).float().flatten(0, 1), targets.flatten())
    place = _inside(times, num_positions, SLACK_S)
    timed = place.any(dim=2)
    looking = losses.new_zeros(())
    for attention in output.cross_attentions:
        guided = attention[:, : attention.shape[1] // 2].float()
        inside = (guided * place[:, None]).sum(dim=3).clamp(min=1e-6)
        if timed.any():
            looking = looking - inside.log().mean(dim=1)[timed].mean()
    return losses, naming + looking / len(output.cross_attentions)


def _inside(times: torch.Tensor, num_positions: int, slack_s: float) -> torch.Tensor:
    """Mark the positions within each token's time: `(batch, tokens, positions)` bool."""
    middles = (torch.arange(num_positions, device=times.device) + 0.5) * POSITION_S
    start, end = times[..., :1], times[..., 1:]
    return (start >= 0) & (middles >= start - slack_s) & (middles < end + slack_s)
