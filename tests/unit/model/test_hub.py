"""A hub that cannot be reached is asked once; what was loaded before then comes from the cache."""

from pathlib import Path

import httpx
import huggingface_hub
import pytest

from rojak.errors import InputError
from rojak.model.hub import must_be_cached

NAME = "someone/whisper"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []

    def fail(url: str, *, timeout: float) -> None:
        urls.append(url)
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    return urls


def test_out_of_reach_and_never_loaded(asked: list[str]) -> None:
    with pytest.raises(InputError, match=r"cannot be reached \(no route\).*hf download someone/whisper"):
        must_be_cached(NAME)
    assert len(asked) == 1


def test_out_of_reach_but_loaded_before(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(tmp_path / "config.json"))
    assert must_be_cached(NAME)
    assert len(asked) == 1


def test_a_hub_that_answers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, *, timeout: None)
    assert not must_be_cached(NAME)
