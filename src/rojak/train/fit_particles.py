"""Fit a model's restoration of particles: on training clips from whose transcripts the particles were taken out.

Reads a model and prepared data, writes `restoration.json` into the model's folder; `model/restore.py` uses it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rojak.audio import SAMPLE_RATE, Samples
from rojak.data.annotate import particle_forms
from rojak.data.dataset import Dataset, prompt_language
from rojak.errors import InputError, TrainingError
from rojak.evaluate.align import align, columns
from rojak.evaluate.decode import ClipToDecode, Context, encode_clips, greedy_tokens
from rojak.model.adapters import load_any, resolve_model
from rojak.model.labels import word_languages
from rojak.model.pieces import cut_into_words
from rojak.model.restoration import RESTORATION_FILE, Restoration, choose_threshold, fit, write_restoration
from rojak.model.restore import find_candidates
from rojak.model.whisper import Whisper
from rojak.records import Utterance
from rojak.text.normalize import normalize
from rojak.text.units import words as split_words

_BATCH = 16
MIN_PARTICLES = 20
"""Fewer than this teach nothing."""
MAX_NEW_TOKENS = 224


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        context: Encoder context, as the model will be used.
        max_utterances: Of the training split, half of them with particles.
        precision: Wanted share of restored particles that were said, on the validation split.
        max_validation: Of the validation split, drawn at random, so that particles are as frequent as they are.
    """

    context: Context = "full"
    max_utterances: int = 500
    precision: float = 0.9
    max_validation: int = 500


@dataclass(frozen=True)
class Examples:
    """Candidates with what is known of each, whether each was said, and how many particles there were to find."""

    features: np.ndarray
    said: np.ndarray
    places: list[tuple[int, int]]
    particles: int


def fit_particles(model_name: str, data_dir: Path, options: FitOptions | None = None) -> tuple[Restoration, Path]:
    """Fit on the training split, choose the threshold on the validation split, and write the file.

    Args:
        model_name: A model on this machine: run directory, adapter or model folder.
        data_dir: Folder written by `rojak prepare`, the one that the model was trained on.
        options: How to fit.

    Raises:
        InputError: No such model or data.
        TrainingError: Too few particles in the data.
    """
    options = options or FitOptions()
    folder = resolve_model(model_name)
    if folder is None:
        raise InputError(f"{model_name} is not a folder; give a run or a model on this machine.")
    whisper = replace(load_any(model_name), restoration=None)
    whisper.network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    train = Dataset(data_dir, ("train",))
    chosen = _choose(train, options.max_utterances)
    counts = Counter(form for index in chosen for form in particle_forms(train.utterances[index].words or ()))
    if sum(counts.values()) < MIN_PARTICLES:
        raise TrainingError(
            f"{data_dir} holds {sum(counts.values())} particles to learn from; at least {MIN_PARTICLES} are needed."
        )
    priors = {form: float(np.log(count / counts.total())) for form, count in sorted(counts.items())}
    learnt = collect(whisper, train, chosen, priors, options.context)
    restoration = fit(learnt.features, learnt.said, priors)
    held = Dataset(data_dir, ("validation",))
    checked = collect(whisper, held, _some(len(held), options.max_validation), priors, options.context)
    chances, said = best_at_each_place(restoration, checked)
    threshold = choose_threshold(chances, said, options.precision)
    passed = chances >= threshold
    told = {
        "utterances": len(chosen),
        "particles": learnt.particles,
        "validation_particles": checked.particles,
        "validation_restored": int(passed.sum()),
        "validation_right": int(said[passed].sum()),
        "wanted_precision": options.precision,
        "context": options.context,
    }
    restoration = replace(restoration, threshold=threshold, fitted_on=told)
    write_restoration(folder, restoration)
    return restoration, folder / RESTORATION_FILE


def _some(size: int, count: int) -> list[int]:
    order: list[int] = np.random.default_rng(0).permutation(size).tolist()
    return order[:count]


def _choose(data: Dataset, count: int) -> list[int]:
    """Take utterances with particles and as many without, spread over the split."""
    by_kind: tuple[list[int], list[int]] = ([], [])
    for index, utterance in enumerate(data.utterances):
        by_kind[bool(particle_forms(utterance.words or ()))].append(index)
    rng = np.random.default_rng(0)
    return [i for kind in by_kind for i in rng.permutation(kind)[: count // 2].astype(int).tolist()]


@torch.inference_mode()
def collect(
    whisper: Whisper, data: Dataset, indices: Sequence[int], priors: dict[str, float], context: Context
) -> Examples:
    """Decode clips, take the decoded particles out, and ask of every candidate whether it was said there."""
    features: list[tuple[float, ...]] = []
    said: list[bool] = []
    places: list[tuple[int, int]] = []
    particles = 0
    for numbers, languages, encoded, samples in _batches(whisper, data, indices, context):
        prompts = torch.tensor([whisper.tokens.prompt(language) for language in languages], device=encoded.device)
        decoded = greedy_tokens(whisper, encoded, prompts, MAX_NEW_TOKENS)
        ids = [without_particles(whisper, row, lang) for row, lang in zip(decoded, languages, strict=True)]
        found = find_candidates(whisper, encoded, languages, ids, samples, priors)
        for number, row, candidates in zip(numbers, ids, found, strict=True):
            truth = said_particles(whisper, row, data.utterances[number])
            particles += sum(map(len, truth.values()))
            for candidate in candidates:
                features.append(candidate.features)
                said.append(candidate.particle in truth.get(candidate.place.words, ()))
                places.append((number, candidate.place.words))
    return Examples(np.array(features), np.array(said, dtype=float), places, particles)


def _batches(
    whisper: Whisper, data: Dataset, indices: Sequence[int], context: Context
) -> Iterator[tuple[list[int], list[str], torch.Tensor, list[Samples]]]:
    """Give clips of like length together, encoded."""
    by_length = sorted(indices, key=lambda index: data.utterances[index].duration)
    window: dict[float, list[ClipToDecode]] = {}
    for index in by_length:
        clip = ClipToDecode(index, data.read_audio(index), prompt_language(data.utterances[index], "matrix"))
        window.setdefault(clip.window_s(context), []).append(clip)
    for length_s, clips in window.items():
        for first in range(0, len(clips), _BATCH):
            part = clips[first : first + _BATCH]
            encoded = encode_clips(whisper, part, length_s)
            samples = [clip.samples[: round(length_s * SAMPLE_RATE)] for clip in part]
            yield [clip.index for clip in part], [clip.language or "en" for clip in part], encoded, samples


def without_particles(whisper: Whisper, ids: Sequence[int], language: str) -> list[int]:
    """Take the tokens of decoded particles out."""
    pieces = cut_into_words(whisper.tokens, ids)
    said = word_languages(whisper.tokens, ids, pieces, language)
    gone = {token for piece, lang in zip(pieces, said, strict=True) if lang == "particle" for token in piece.tokens}
    return [token for place, token in enumerate(ids) if place not in gone]


def said_particles(whisper: Whisper, ids: Sequence[int], utterance: Utterance) -> dict[int, list[str]]:
    """Give which particles were said behind how many words of a transcript without particles.

    One that closes the text does so whatever became of the word before. Any other whose word before was not decoded has
    no place in the transcript and is left out.
    """
    heard = [normalize(piece.word) for piece in cut_into_words(whisper.tokens, ids)]
    reference: list[str] = []
    behind: dict[int, list[str]] = {}
    for word in utterance.words or ():
        if word.language == "particle":
            behind.setdefault(len(reference), []).extend(particle_forms([word]))
        else:
            reference += split_words(normalize(word.word))
    closing = behind.pop(len(reference), []) if reference and heard else []
    found = {0: behind.get(0, [])}
    for _, i, j in columns(align(reference, heard)):
        if i is not None and j is not None and i + 1 in behind:
            found[j + 1] = behind[i + 1]
    found[len(heard)] = [*found.get(len(heard), ()), *closing]
    return {place: forms for place, forms in found.items() if forms}


def best_at_each_place(restoration: Restoration, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Give the probability of the likeliest particle of each place, and whether it was said."""
    chances = restoration.probability(examples.features)
    best: dict[tuple[int, int], int] = {}
    for number, place in enumerate(examples.places):
        if place not in best or chances[number] > chances[best[place]]:
            best[place] = number
    chosen = list(best.values())
    return chances[chosen], examples.said[chosen]
