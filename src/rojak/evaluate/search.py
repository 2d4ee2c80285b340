"""Find the tokens of a batch of clips: greedily, by sampling at a temperature, or by beam search, always with a cache.

Takes encoder output and prompts, gives token ids with their log-probability; reads and writes no files. Every clip is
searched by itself: which clips share its batch changes neither its beams nor its random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache

from rojak.model.whisper import Whisper
from rojak.records import LANGUAGES

SHRINK_SHARE = 0.75
"""Finished clips leave a batch once no more than this share goes on, so that a runaway does not hold up the others."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Tokens of one clip, prompt and end-of-text left out; `logprob` sums their log-probabilities and end-of-text's."""

    ids: list[int]
    logprob: float

    @property
    def mean_logprob(self) -> float:
        """Log-probability a token, end-of-text counted as one."""
        return self.logprob / (len(self.ids) + 1)


def forbidden_tokens(whisper: Whisper) -> tuple[torch.Tensor, torch.Tensor]:
    """Give masks over the vocabulary, `(vocabulary,)` bool: what may never come, and what may not come first."""
    network, tokens = whisper.network, whisper.tokens
    settings: Any = network.generation_config
    always = torch.zeros(network.config.vocab_size, dtype=torch.bool, device=whisper.device)
    always[tokens.end + 1 :] = True
    if tokens.labelling.language_tags != "none":
        always[[tokens.languages[code] for code in LANGUAGES]] = False
    always[_known(settings.suppress_tokens, len(always))] = True
    first = always.clone()
    first[_known(settings.begin_suppress_tokens, len(always))] = True
    return always, first


def _known(ids: Sequence[int] | None, vocabulary: int) -> list[int]:
    """Leave out ids beyond the vocabulary: models of a smaller one keep transformers' defaults for Whisper's own."""
    return [token for token in ids or () if token < vocabulary]


def _limit(whisper: Whisper, prompts: torch.Tensor, max_new_tokens: int) -> int:
    room: int = whisper.network.config.max_target_positions - prompts.shape[1]
    return min(max_new_tokens, room)


def search_one_by_one(
    whisper: Whisper,
    encoded: torch.Tensor,
    prompts: torch.Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
) -> list[Hypothesis]:
    """Choose one token after the other until end-of-text: the most likely one, or one drawn at a temperature.

    Args:
        whisper: Model.
        encoded: `(batch, positions, dim)` encoder output.
        prompts: `(batch, tokens)` decoder prompt.
        max_new_tokens: Limit a clip.
        temperature: 0 takes the most likely; above, tokens are drawn from softmax(logits / temperature).
        seeds: Of each clip's own random numbers, where the temperature is above 0.
    """
    forbidden, at_start = forbidden_tokens(whisper)
    draws = [torch.Generator().manual_seed(seed) for seed in seeds or ()] if temperature else []
    ids: list[list[int]] = [[] for _ in prompts]
    logprobs = [0.0] * len(ids)
    rows = torch.arange(len(prompts), device=encoded.device)
    going = torch.ones(len(prompts), dtype=torch.bool, device=encoded.device)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    step_input = prompts
    for step in range(_limit(whisper, prompts, max_new_tokens)):
        hidden = whisper.network.model.decoder(
            input_ids=step_input, encoder_hidden_states=encoded, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = whisper.network.proj_out(hidden).float().masked_fill(forbidden if step else at_start, -torch.inf)
        scores = logits if not draws else logits / temperature + _gumbel([draws[row] for row in rows.tolist()], logits)
        chosen = scores.argmax(dim=1)
        chance = logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(dim=1)
        for row, token, gain, alive in zip(
            rows.tolist(), chosen.tolist(), chance.tolist(), going.tolist(), strict=True
        ):
            if alive:
                logprobs[row] += gain
                if token != whisper.tokens.end:
                    ids[row].append(token)
        going &= chosen != whisper.tokens.end
        if not going.any():
            break
        if int(going.sum()) <= SHRINK_SHARE * len(going):
            keep = going.nonzero().squeeze(1)
            rows, encoded, chosen, going = rows[keep], encoded[keep], chosen[keep], going[keep]
            cache.batch_select_indices(keep)
        step_input = chosen.unsqueeze(1)
    return [Hypothesis(row, logprob) for row, logprob in zip(ids, logprobs, strict=True)]


def _gumbel(generators: Sequence[torch.Generator], like: torch.Tensor) -> torch.Tensor:
    """Draw Gumbel noise, a row from each generator: the greatest of logits plus it is a sample of their softmax."""
    uniform = torch.stack([torch.rand(like.shape[1], generator=generator) for generator in generators])
    return -torch.log(-torch.log(uniform.clamp(1e-9, 1 - 1e-7))).to(like.device)


def search_beams(
    whisper: Whisper, encoded: torch.Tensor, prompts: torch.Tensor, max_new_tokens: int, num_beams: int
) -> list[Hypothesis]:
    """Keep the `num_beams` likeliest beginnings of each clip until as many have ended, and take the best of these.

    The best has the highest log-probability a token. Arguments as for `search_one_by_one`. Source: the beam search of
    openai/whisper's `decoding.py`, patience 1.
    """
    forbidden, at_start = forbidden_tokens(whisper)
    searches = [_Beams(num_beams) for _ in prompts]
    going = list(range(len(searches)))
    encoded, step_input = encoded.repeat_interleave(num_beams, dim=0), prompts.repeat_interleave(num_beams, dim=0)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    for step in range(_limit(whisper, prompts, max_new_tokens)):
        hidden = whisper.network.model.decoder(
            input_ids=step_input, encoder_hidden_states=encoded, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = whisper.network.proj_out(hidden).float().masked_fill(forbidden if step else at_start, -torch.inf)
        logprobs = logits.log_softmax(dim=1).unflatten(0, (len(going), num_beams))
        totals = logprobs + torch.tensor([searches[clip].scores for clip in going], device=logprobs.device)[:, :, None]
        # Of twice as many candidates as beams at most half are an end, since every beam has only one.
        best, places = totals.flatten(1).topk(2 * num_beams, dim=1)
        keep, parents, chosen = [], [], []
        for group, (clip, scores, ends) in enumerate(zip(going, best.tolist(), places.tolist(), strict=True)):
            came_from, tokens = searches[clip].grow(scores, ends, logits.shape[1], whisper.tokens.end)
            if not searches[clip].done:
                keep.append(clip)
                parents += [group * num_beams + beam for beam in came_from]
                chosen += tokens
        if not keep:
            break
        rows = torch.tensor(parents, device=encoded.device)
        if len(keep) < len(going):
            encoded = encoded[rows]
            cache.batch_select_indices(rows)
        else:  # The beams of a clip share its sound, so only what they said moves with them.
            cache.self_attention_cache.batch_select_indices(rows)
        going, step_input = keep, torch.tensor(chosen, device=encoded.device).unsqueeze(1)
    return [search.best() for search in searches]


class _Beams:
    """The beginnings of one clip's text that are still growing, and those that have ended."""

    def __init__(self, num_beams: int) -> None:
        self.beams: list[list[int]] = [[] for _ in range(num_beams)]
        self.scores = [0.0] + [-torch.inf] * (num_beams - 1)  # All beams begin the same: one of them may grow.
        self.ended: list[Hypothesis] = []

    @property
    def done(self) -> bool:
        return len(self.ended) >= len(self.beams)

    def grow(
        self, scores: Sequence[float], places: Sequence[int], vocabulary: int, end: int
    ) -> tuple[list[int], list[int]]:
        """Take candidates, best first, each at `beam · vocabulary + token`; give the beams' parents and tokens."""
        grown: list[tuple[int, int, float]] = []
        for score, place in zip(scores, places, strict=True):
            beam, token = divmod(place, vocabulary)
            if token == end:
                self.ended.append(Hypothesis(self.beams[beam], score))
            else:
                grown.append((beam, token, score))
            if len(grown) == len(self.beams):
                break
        self.beams = [[*self.beams[beam], token] for beam, token, _ in grown]
        self.scores = [score for _, _, score in grown]
        return [beam for beam, _, _ in grown], [token for _, token, _ in grown]

    def best(self) -> Hypothesis:
        """Give the best text; ones that the limit cut short count only where too few have ended."""
        cut = [Hypothesis(ids, score) for ids, score in zip(self.beams, self.scores, strict=True)]
        missing = max(0, len(self.beams) - len(self.ended))
        return max([*self.ended, *cut[:missing]], key=lambda found: found.mean_logprob)
