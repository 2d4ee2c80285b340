"""Search for tokens: beams against a plain search without cache or batches, sampling, and temperature fallback."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from rojak.evaluate.fallback import TEMPERATURES, compression_ratio, fall_back, needs_retry
from rojak.evaluate.search import Hypothesis, search_beams, search_one_by_one
from rojak.model.whisper import Whisper, load_whisper

LIMIT = 6


@pytest.fixture(scope="module")
def whisper(tiny_dir: Path) -> Whisper:
    """A model that may say nine tokens only, one of them as likely as to end, so that texts end at different places."""
    loaded = load_whisper(str(tiny_dir))
    end = loaded.tokens.end
    with torch.no_grad():
        loaded.network.proj_out.weight[end] = 1.05 * loaded.network.proj_out.weight[7]
    loaded.network.generation_config.suppress_tokens = [token for token in range(end) if token % 45 != 7]
    loaded.network.generation_config.begin_suppress_tokens = [end]
    return loaded


@pytest.fixture(scope="module")
def sound(whisper: Whisper) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(8)
    encoded = 3 * torch.randn(5, 40, whisper.network.config.d_model)
    return encoded, torch.tensor([whisper.tokens.prompt("ms")] * 5)


def log_chances(whisper: Whisper, encoded: torch.Tensor, prompt: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    tokens = torch.cat([prompt, torch.tensor(ids, dtype=torch.long)])[None]
    hidden = whisper.network.model.decoder(input_ids=tokens, encoder_hidden_states=encoded[None], use_cache=False)
    logits = whisper.network.proj_out(hidden.last_hidden_state[0, -1])
    logits[list(whisper.network.generation_config.suppress_tokens)] = -math.inf
    logits[whisper.tokens.end + 1 :] = -math.inf
    if not ids:
        logits[whisper.tokens.end] = -math.inf
    return logits.log_softmax(dim=0)


def plain_beams(whisper: Whisper, encoded: torch.Tensor, prompt: torch.Tensor, width: int) -> list[int]:
    """Beam search as a textbook has it: one clip, everything computed anew at every step."""
    beams: list[tuple[list[int], float]] = [([], 0.0)]
    ended: list[tuple[list[int], float]] = []
    for _ in range(LIMIT):
        candidates = [
            (ids, token, score + gain)
            for ids, score in beams
            for token, gain in enumerate(log_chances(whisper, encoded, prompt, ids).tolist())
            if gain > -math.inf
        ]
        candidates.sort(key=lambda candidate: -candidate[2])
        beams = []
        for ids, token, score in candidates:
            if token == whisper.tokens.end:
                ended.append((ids, score))
            else:
                beams.append(([*ids, token], score))
            if len(beams) == width:
                break
        if len(ended) >= width:
            break
    ended += beams[: max(0, width - len(ended))]
    return max(ended, key=lambda found: found[1] / (len(found[0]) + 1))[0]


@torch.inference_mode()
@pytest.mark.parametrize("width", [2, 4])
def test_beams_find_what_a_plain_search_finds(
    width: int, whisper: Whisper, sound: tuple[torch.Tensor, torch.Tensor]
) -> None:
    encoded, prompts = sound
    found = search_beams(whisper, encoded, prompts, LIMIT, width)
    wanted = [plain_beams(whisper, one, prompt, width) for one, prompt in zip(encoded, prompts, strict=True)]
    assert [one.ids for one in found] == wanted
    assert len({len(one.ids) for one in found}) > 1
    assert wanted != [one.ids for one in search_one_by_one(whisper, encoded, prompts, LIMIT)]


@torch.inference_mode()
def test_log_probabilities_are_those_of_the_tokens(whisper: Whisper, sound: tuple[torch.Tensor, torch.Tensor]) -> None:
    encoded, prompts = sound
    for found in (
        search_one_by_one(whisper, encoded, prompts, LIMIT),
        search_beams(whisper, encoded, prompts, LIMIT, 3),
    ):
        for place, one in enumerate(found):
            said = [*one.ids, whisper.tokens.end][:LIMIT]
            steps = [
                float(log_chances(whisper, encoded[place], prompts[place], one.ids[:n])[token])
                for n, token in enumerate(said)
            ]
            assert one.logprob == pytest.approx(sum(steps), abs=1e-3)
            assert one.mean_logprob == pytest.approx(one.logprob / (len(one.ids) + 1))


@torch.inference_mode()
def test_drawing_follows_seed_and_temperature(whisper: Whisper, sound: tuple[torch.Tensor, torch.Tensor]) -> None:
    encoded, prompts = sound

    def draw(temperature: float, seeds: Sequence[int]) -> list[list[int]]:
        found = search_one_by_one(whisper, encoded, prompts, LIMIT, temperature=temperature, seeds=seeds)
        return [one.ids for one in found]

    assert draw(1.0, range(5)) == draw(1.0, range(5))
    assert draw(1.0, range(5)) != draw(1.0, range(5, 10))
    assert draw(1e-4, range(5)) == [one.ids for one in search_one_by_one(whisper, encoded, prompts, LIMIT)]


@torch.inference_mode()
def test_draws_are_as_frequent_as_likely(whisper: Whisper, sound: tuple[torch.Tensor, torch.Tensor]) -> None:
    encoded, prompts = sound[0][:1], sound[1][:1]
    times = 600
    many = search_one_by_one(
        whisper, encoded.expand(times, -1, -1), prompts.expand(times, -1), 1, temperature=1.0, seeds=range(times)
    )
    chances = log_chances(whisper, encoded[0], prompts[0], []).exp()
    token = int(chances.argmax())
    share = sum(one.ids == [token] for one in many) / times
    assert share == pytest.approx(float(chances[token]), abs=0.08)


def test_unlikely_or_repeating_texts_are_tried_again() -> None:
    assert needs_retry(Hypothesis([1, 2], -4.0), "saya pergi")
    assert not needs_retry(Hypothesis([1, 2], -1.0), "saya pergi")
    assert needs_retry(Hypothesis([1, 2], -1.0), "terima kasih " * 20)
    assert compression_ratio("terima kasih " * 20) > 2.4 > compression_ratio("saya nak pergi kedai beli ikan")
    assert not needs_retry(Hypothesis([], -0.5), "")


def test_fallback_goes_on_until_believed_and_keeps_the_last_try() -> None:
    asked: list[tuple[list[int], float]] = []

    def retry(places: Sequence[int], temperature: float) -> list[Hypothesis]:
        asked.append((list(places), temperature))
        return [Hypothesis([place], -0.1 if place == 1 and temperature >= 0.4 else -9.0) for place in places]

    first = [Hypothesis([7], -0.1), Hypothesis([7], -9.0), Hypothesis([7], -9.0)]
    found, temperatures = fall_back(first, str, retry)
    assert [one.ids for one in found] == [[7], [1], [2]]
    assert temperatures == [0.0, 0.4, TEMPERATURES[-1]]
    assert asked[:3] == [([1, 2], 0.2), ([1, 2], 0.4), ([2], 0.6)]
    assert len(asked) == len(TEMPERATURES)
