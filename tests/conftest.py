"""A tiny corpus and a tiny Whisper, made once a test run: real files, real classes, seconds of work."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

# Tests run one process a core (pytest-xdist); several threads in each would wait for each other. Before torch is there.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.model.micro import build_tokenizer, build_untrained
from rojak.model.whisper import save_whisper


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About two minutes of synthetic speech."""
    folder = tmp_path_factory.mktemp("made") / "corpus"
    synthesize(folder, 0.04, 5, workers=1, show_progress=False)
    return folder


@pytest.fixture(scope="session")
def data_dir(corpus_dir: Path) -> Path:
    """The corpus, prepared."""
    folder = corpus_dir.parent / "data"
    prepare(corpus_dir, folder, workers=0)
    return folder


def write_tiny(folder: Path, texts: Sequence[str]) -> Path:
    """Write a true Whisper with a true tokenizer of these texts, of 0.2 M parameters and random weights."""
    whisper = build_untrained(
        "tiny",
        build_tokenizer(texts, 400),
        3,
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        init_std=0.06,
    )
    save_whisper(whisper, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_writer() -> Callable[[Path, Sequence[str]], Path]:
    """Writes a tiny model for other texts than the corpus's."""
    return write_tiny


@pytest.fixture(scope="session")
def tiny_dir(data_dir: Path) -> Path:
    """A tiny model for the corpus."""
    texts = [utterance.text for utterance in Dataset(data_dir, ("train",)).utterances]
    return write_tiny(data_dir.parent / "tiny", texts)
