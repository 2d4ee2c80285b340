"""A Hugging Face classifier in the place of the built-in word tagger.

Reads a model folder (safetensors and JSON only) with a token classifier, which sees the whole sentence, or a text
classifier, which is asked about each word by itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rojak.errors import InputError
from rojak.records import WordLanguage
from rojak.runs import read_json
from rojak.text.language import TaggedWord, Tagger, load_tagger

_NAMES: dict[str, WordLanguage] = {
    **dict.fromkeys(("ms", "msa", "zsm", "zlm", "may", "malay", "melayu", "id", "ind", "indonesian"), "ms"),
    **dict.fromkeys(("en", "eng", "english"), "en"),
    **dict.fromkeys(("zh", "zho", "cmn", "chi", "mandarin", "chinese"), "zh"),
    **dict.fromkeys(("ta", "tam", "tamil"), "ta"),
    **dict.fromkeys(("particle", "discourse_particle"), "particle"),
    **dict.fromkeys(("other", "name", "ne", "none", "univ", "o"), "other"),
}
_BATCH = 64


class ClassifierTagger:
    """Tags like `Tagger`, with the same words; build it with `load_classifier`."""

    def __init__(self, model: Any, tokenizer: Any, languages: Sequence[WordLanguage], *, sees_sentence: bool) -> None:
        """Take over a loaded classifier and the language that each of its classes means."""
        self._model, self._tokenizer, self._languages = model, tokenizer, languages
        self._sees_sentence = sees_sentence
        self._built_in: Tagger = load_tagger()

    def tag(self, text: str) -> list[TaggedWord]:
        """Tag every scoring unit of a text.

        Script decides Mandarin and Tamil, as always. Particles and names stay those of the built-in tagger where the
        classifier has no class for them.
        """
        tagged = self._built_in.tag(text)
        kept = {"zh", "ta", *({"particle", "other"} - set(self._languages))}
        asked = [index for index, word in enumerate(tagged) if word.language not in kept]
        if not asked:
            return tagged
        words = [word.word for word in tagged]
        chances = self._in_sentence(words) if self._sees_sentence else self._alone([words[index] for index in asked])
        for row, index in enumerate(asked):
            best = max(range(len(self._languages)), key=chances[index if self._sees_sentence else row].__getitem__)
            confidence = chances[index if self._sees_sentence else row][best]
            tagged[index] = TaggedWord(words[index], self._languages[best], confidence)
        return tagged

    def _alone(self, words: Sequence[str]) -> list[list[float]]:
        import torch

        found: list[list[float]] = []
        for first in range(0, len(words), _BATCH):
            batch = self._tokenizer(list(words[first : first + _BATCH]), return_tensors="pt", padding=True)
            with torch.inference_mode():
                found += self._model(**batch).logits.softmax(dim=-1).tolist()
        return found

    def _in_sentence(self, words: Sequence[str]) -> list[list[float]]:
        """Give each word the classes' chances at its first sub-word, over as many passes as its length asks for."""
        import torch

        limit = min(self._tokenizer.model_max_length, getattr(self._model.config, "max_position_embeddings", 512) - 2)
        found: list[list[float]] = []
        while len(found) < len(words):
            batch = self._tokenizer(
                [list(words[len(found) :])],
                is_split_into_words=True, truncation=True, max_length=limit, return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                chances = self._model(**batch).logits[0].softmax(dim=-1).tolist()
            first: dict[int, int] = {}
            for place, word in enumerate(batch.word_ids(0)):
                if word is not None:
                    first.setdefault(word, place)
            even = [1 / len(self._languages)] * len(self._languages)
            covered = max(first, default=0) + 1  # A word without any sub-word is passed over undecided.
            found += [chances[first[word]] if word in first else even for word in range(covered)]
        return found


def load_classifier(folder: Path) -> ClassifierTagger:
    """Load a token or text classifier whose classes are languages.

    Raises:
        InputError: No such model in the folder, or a class whose language is not plain from its name.
    """
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    architecture = (config.get("architectures") or [""])[0]
    kinds = {
        "TokenClassification": AutoModelForTokenClassification,
        "SequenceClassification": AutoModelForSequenceClassification,
    }
    kind = next((kind for kind in kinds if str(architecture).endswith(kind)), None)
    if kind is None:
        raise InputError(
            f"{folder} holds no classifier of Hugging Face; give a folder whose config.json names a "
            "ForTokenClassification or ForSequenceClassification architecture."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = kinds[kind].from_pretrained(folder, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot load the classifier in {folder} ({str(error).splitlines()[0]}).") from error
    labels = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]
    languages = [_NAMES.get(name.lower().removeprefix("b-").removeprefix("__label__")) for name in labels]
    unknown = [name for name, language in zip(labels, languages, strict=True) if language is None]
    if unknown:
        raise InputError(
            f"The classifier in {folder} has the class {unknown[0]!r}; name its classes in id2label "
            "ms, en, zh, ta, particle or other."
        )
    return ClassifierTagger(model, tokenizer, [x for x in languages if x], sees_sentence=kind == "TokenClassification")
