"""A Hugging Face classifier named in the tagger's place: both kinds, its classes, and what stays decided without it."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
)

from rojak.errors import InputError
from rojak.text.classifier import load_classifier

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "saya", "nak", "you", "main"]
MALAY_IDS = (4, 5)


def classifier(folder: Path, kind: type, labels: list[str], longest: int = 64) -> Path:
    """A one-layer Bert that calls `saya` and `nak` the first class and everything else the second."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=longest,
    )  # fmt: skip
    size = len(WORDS)
    config = BertConfig(
        vocab_size=size, hidden_size=size, num_hidden_layers=0, num_attention_heads=1, intermediate_size=size,
        max_position_embeddings=longest + 2, num_labels=len(labels), id2label=dict(enumerate(labels)),
        hidden_dropout_prob=0.0,
    )  # fmt: skip
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.bert.embeddings.word_embeddings.weight.copy_(torch.eye(size))
        model.bert.embeddings.LayerNorm.weight.fill_(1.0)
        model.classifier.bias[1] = 0.5
        if kind is BertForTokenClassification:
            model.classifier.weight[0, list(MALAY_IDS)] = 5.0
        else:  # The pooler sees [CLS] alone; without attention it can only always say the second class.
            model.classifier.weight.zero_()
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def test_a_token_classifier_decides_what_script_particles_and_names_leave_open(tmp_path: Path) -> None:
    tagger = load_classifier(classifier(tmp_path, BertForTokenClassification, ["malay", "ENG"]))
    tagged = tagger.tag("saya nak main 水果 you lah 3pm")
    assert [word.word for word in tagged] == ["saya", "nak", "main", "水", "果", "you", "lah", "3pm"]
    assert [word.language for word in tagged] == ["ms", "ms", "en", "zh", "zh", "en", "particle", "other"]
    assert all(0.5 < word.confidence <= 1 for word in tagged)
    assert tagger.tag("") == []


def test_long_sentences_are_read_to_the_end(tmp_path: Path) -> None:
    tagger = load_classifier(classifier(tmp_path, BertForTokenClassification, ["ms", "en"], longest=10))
    tagged = tagger.tag(" ".join(["saya", "you"] * 15))
    assert [word.language for word in tagged] == ["ms", "en"] * 15


def test_a_text_classifier_is_asked_word_by_word(tmp_path: Path) -> None:
    tagger = load_classifier(classifier(tmp_path, BertForSequenceClassification, ["ms", "en"]))
    assert [word.language for word in tagger.tag("saya nak 水 lah")] == ["en", "en", "zh", "particle"]


def test_classes_for_particles_and_names_overrule_the_built_in_ones(tmp_path: Path) -> None:
    labels = ["ms", "en", "particle", "other"]
    tagger = load_classifier(classifier(tmp_path, BertForTokenClassification, labels))
    assert [word.language for word in tagger.tag("nak lah 3pm")] == ["ms", "en", "en"]


@pytest.mark.parametrize(
    ("labels", "message"), [(["LABEL_0", "LABEL_1"], "name its classes in id2label"), (None, "holds no classifier")]
)
def test_what_is_no_language_classifier_gets_one_sentence(
    labels: list[str] | None, message: str, tmp_path: Path
) -> None:
    if labels:
        classifier(tmp_path, BertForTokenClassification, labels)
    with pytest.raises(InputError, match=message):
        load_classifier(tmp_path)
