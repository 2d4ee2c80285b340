"""The loss is the weighted mean over the label tokens of a whole step, however the step is cut."""

import numpy as np
import pytest
import torch

from rojak.config.schema import WindowsConfig
from rojak.features.windows import Clip, deal, padded_seconds, plan_step
from rojak.model.whisper import IGNORED, encode_audio, load_whisper, token_losses
from rojak.train.flops import step_flops

FRAMES = 128


@pytest.fixture(scope="module")
def network(tiny_dir):
    network = load_whisper(str(tiny_dir)).network.double()
    network.set_attn_implementation("eager")  # torch counts no operations of fused attention on a CPU
    return network


def gradients(network, mel, tokens, weights, parts):
    """Compute a step whose rows are cut into `parts`, as the loop does."""
    network.zero_grad()
    total = 0.0
    for rows in parts:
        labels = torch.where(weights[rows] > 0, tokens[rows], IGNORED)
        losses = token_losses(network, encode_audio(network, mel[rows]), tokens[rows].clamp(min=0), labels)
        loss = (losses * weights[rows][weights[rows] > 0]).sum() / weights.sum()
        loss.backward()
        total += loss.item()
    return total, [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("parts", [[[0], [1], [2], [3]], [[0, 1, 2], [3]], [[3], [1, 0], [2]]])
def test_a_step_in_parts_is_one_big_batch(network, parts: list[list[int]]) -> None:
    torch.manual_seed(1)
    mel, tokens = torch.randn(4, 80, FRAMES, dtype=torch.float64), torch.randint(0, 300, (4, 9))
    weights = torch.rand(4, 9, dtype=torch.float64) + 0.5
    for row, length in enumerate((9, 2, 5, 7)):
        weights[row, length:] = 0
    whole, expected = gradients(network, mel, tokens, weights, [[0, 1, 2, 3]])
    cut, found = gradients(network, mel, tokens, weights, parts)
    assert cut == pytest.approx(whole, abs=1e-9)
    for one, two in zip(expected, found, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-6, atol=1e-9)


def test_micro_batches_are_dealt_once_each_and_evenly() -> None:
    rng = np.random.default_rng(0)
    clips = [Clip(i, float(d), "a", 10) for i, d in enumerate(rng.uniform(2, 6, 64))]
    whole = plan_step(clips, WindowsConfig(), 960.0, 440, np.random.default_rng(1))
    plan = plan_step(clips, WindowsConfig(), 960.0, 440, np.random.default_rng(1), num_processes=8)
    assert len(whole) < 8 <= len(plan)
    hands = deal(plan, 8)
    assert sorted(number for hand in hands for number in hand) == list(range(len(plan)))
    loads = [sum(padded_seconds(plan[number]) for number in hand) for hand in hands]
    assert max(loads) < 2 * min(loads)
    assert deal(plan[:1], 3) == [[0], [], []]


def test_windows_without_speech_come_in_their_share() -> None:
    clips = [Clip(i, 5.0, "a", 10) for i in range(400)]
    for mode in ("pad", "trim", "mixed"):
        config = WindowsConfig(mode=mode, nonspeech_share=0.2, previous_text_share=0.3)  # type: ignore[arg-type]
        windows = [w for batch in plan_step(clips, config, 240.0, 440, np.random.default_rng(2)) for w in batch]
        empty = [window for window in windows if not window.clips]
        assert 0.15 < len(empty) / len(windows) < 0.25
        assert 0.2 < np.mean([window.previous_text for window in windows if window.clips]) < 0.4
        assert mode != "pad" or all(window.length_s == 30.0 for window in empty)
        assert len({window.sound_seed for window in empty}) > 1


@pytest.mark.parametrize("frozen", [False, True])
def test_operations_are_those_that_torch_counts(network, frozen: bool) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    windows, tokens = 3, 11
    mel, labels = torch.randn(windows, 80, FRAMES, dtype=torch.float64), torch.randint(0, 300, (windows, tokens))
    with FlopCounterMode(display=False) as counter:
        loss = token_losses(network, encode_audio(network, mel), labels, labels).sum()
        forward = counter.get_total_flops()
        loss.backward()
    counted = counter.get_total_flops()
    # Frozen weights save one of the two products of the backward pass.
    expected = counted if not frozen else 2 * forward
    assert step_flops(network.config, windows, FRAMES // 2, tokens, frozen=frozen) == pytest.approx(expected, rel=0.1)


def test_a_frozen_encoder_has_no_backward_pass(network) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    mel, labels = torch.randn(3, 80, FRAMES, dtype=torch.float64), torch.randint(0, 300, (3, 11))
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            encoded = encode_audio(network, mel)
        token_losses(network, encoded, labels, labels).sum().backward()
    told = step_flops(network.config, 3, FRAMES // 2, 11, frozen=False, encoder_learns=False)
    assert told == pytest.approx(counter.get_total_flops(), rel=0.1)
