"""Decoder tokens of a window: what goes in, what is to be learnt, when each token is said, and how much it counts.

Takes records and the model's tokens; gives lists and tensors; reads no files.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from rojak.config.schema import LossConfig
from rojak.model.labels import locate_words
from rojak.model.whisper import IGNORED, MAX_TARGET_TOKENS, SpeechTokens
from rojak.records import LANGUAGES, Utterance

UNKNOWN = (-1.0, -1.0)
"""Time of a token that is not in the recording, or whose time is not known."""
MAX_PROMPT_TOKENS = MAX_TARGET_TOKENS // 2
"""Longest previous text that a runtime gives Whisper."""


@dataclass
class Script:
    """The whole token sequence of a window, start token and all; the four lists run beside each other.

    `targets` holds what the model shall say in a token's place: mostly the token, `IGNORED` where nothing is learnt.
    """

    tokens: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    times: list[tuple[float, float]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(
        self,
        tokens: Sequence[int],
        times: Sequence[tuple[float, float]] | None = None,
        weights: Sequence[float] | None = None,
        *,
        learnt: bool = True,
    ) -> None:
        """Append tokens; without times they have none, without weights each counts once."""
        self.tokens += tokens
        self.targets += tokens if learnt else [IGNORED] * len(tokens)
        self.times += times if times is not None else [UNKNOWN] * len(tokens)
        self.weights += weights if weights is not None else [1.0] * len(tokens)


def empty_script(tokens: SpeechTokens, language: str) -> Script:
    """Give the script of a window without speech: the model shall see that there is none, and say nothing.

    As in Whisper's own training, `<|nospeech|>` is the target in the language token's place, which is where runtimes
    look for it; whatever language they then force, the text is empty.
    """
    script = Script()
    script.add(tokens.prompt(language), learnt=False)
    script.targets[1] = tokens.no_speech
    script.add([tokens.end])
    return script


def with_previous_text(script: Script, text: Sequence[int], tokens: SpeechTokens) -> Script:
    """Put the end of a previous text before a script, as runtimes do in long recordings; it is read and not learnt."""
    room = min(MAX_PROMPT_TOKENS, MAX_TARGET_TOKENS - len(script.tokens)) - 1
    if not text or room < 1:
        return script
    prompted = Script()
    prompted.add([tokens.previous, *text[-room:]], learnt=False)
    prompted.add(script.tokens, script.times, script.weights)
    prompted.targets[-len(script.targets) :] = script.targets
    # Nobody asks the model to say the start token: runtimes put it there.
    prompted.targets[-len(script.targets)] = IGNORED
    return prompted


def lay_out(scripts: Sequence[Script], padding: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give decoder inputs (all but the last token), labels (all but the first), their times and their weights.

    Returns:
        `(batch, tokens)` inputs and labels, `(batch, tokens, 2)` times, `(batch, tokens)` weights, 0 where nothing is
        learnt.
    """
    length = max(len(script.tokens) for script in scripts) - 1
    inputs = torch.full((len(scripts), length), padding)
    labels = torch.full((len(scripts), length), IGNORED)
    times = torch.full((len(scripts), length, 2), UNKNOWN[0])
    weights = torch.zeros((len(scripts), length))
    for row, script in enumerate(scripts):
        count = len(script.tokens) - 1
        inputs[row, :count] = torch.tensor(script.tokens[:-1])
        labels[row, :count] = torch.tensor(script.targets[1:])
        times[row, :count] = torch.tensor(script.times[1:])
        weights[row, :count] = torch.tensor(script.weights[1:])
    return inputs, labels, times, weights * (labels != IGNORED)


Place = tuple[int, int] | None
"""Where a label token stands in the stripped text, as a character range; None for a token that is not text."""


def word_of_tokens(utterance: Utterance, places: Sequence[Place]) -> list[int | None]:
    """Give, for each text token, the number of the first of the record's words that it has a character of.

    A token between words, or any token of a record whose words are not its text's, has None.
    """
    spans = _word_spans(utterance)
    owners: list[int | None] = []
    number = 0
    # Tokens begin with the space before their word, so overlap decides and not where a token starts.
    for place in places:
        if place is None:
            owners.append(None)
            continue
        start, end = place
        while number < len(spans) and spans[number][1] <= start:
            number += 1
        owners.append(number if number < len(spans) and spans[number][0] < max(end, start + 1) else None)
    return owners


def _word_spans(utterance: Utterance) -> list[tuple[int, int]]:
    """Find the record's words in its text; none when one of them is not there."""
    located = locate_words(utterance.text.strip(), utterance.words or ())
    return [(word.start, word.end) for word in located or ()]


def token_weights(utterance: Utterance, places: Sequence[Place], config: LossConfig) -> list[float] | None:
    """Give each label token's weight in the loss, or None where all count once.

    Particles get one weight, the words of other languages than the utterance's most frequent one another.
    """
    if (config.particle_weight == 1.0 and config.embedded_weight == 1.0) or not utterance.words:
        return None
    counts = Counter(word.language for word in utterance.words if word.language in LANGUAGES)
    matrix = counts.most_common(1)[0][0] if counts else None
    by_word = [
        config.particle_weight
        if word.language == "particle"
        else config.embedded_weight
        if word.language in LANGUAGES and word.language != matrix
        else 1.0
        for word in utterance.words
    ]
    return [1.0 if owner is None else by_word[owner] for owner in word_of_tokens(utterance, places)]


def token_times(
    utterance: Utterance, places: Sequence[Place], offset_s: float, speed: float = 1.0
) -> list[tuple[float, float]]:
    """Give each label token's start and end in the window, by its characters' share of its word.

    A token without a known time gets `UNKNOWN`. `speed` is the factor by which the recording was made faster.
    """
    words, spans = utterance.words or (), _word_spans(utterance)
    if any(word.start is None or word.end is None for word in words):
        return [UNKNOWN] * len(places)
    times = []
    for place, owner in zip(places, word_of_tokens(utterance, places), strict=True):
        if owner is None or place is None:
            times.append(UNKNOWN)
            continue
        word, first = words[owner], spans[owner][0]
        assert word.start is not None and word.end is not None
        pace = (word.end - word.start) / speed / len(word.word)
        begins = max(place[0], first)
        starts_s = offset_s + word.start / speed + (begins - first) * pace
        times.append((starts_s, starts_s + max(1, place[1] - begins) * pace))
    return times
