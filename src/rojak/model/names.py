"""Which folder a model name means, and its tokenizer alone. Imports no torch, so that `prepare` starts at once."""

from collections.abc import Callable
from pathlib import Path

from rojak.errors import InputError

MICRO_NAME = "rojak-micro"
MICRO_DIR = Path(__file__).parent / "micro"
"""The embedded base model, shipped as package data."""


def model_path(name: str) -> str:
    """Resolve `rojak-micro` to the embedded folder; other names (folders, hub ids) stay as they are."""
    return str(MICRO_DIR) if name == MICRO_NAME else name


def token_counter(name: str) -> Callable[[str], int]:
    """Give a function that counts a transcript's label tokens under a model: text, prompt and end-of-text.

    Raises:
        InputError: The model's tokenizer cannot be found.
    """
    from tokenizers import Tokenizer

    folder = Path(model_path(name))
    if not folder.is_dir() and "/" not in name:  # asking the hub for it would take half a minute without a network
        raise InputError(f"{name}: there is no such folder; give rojak-micro, a model folder, or a hub id OWNER/NAME.")
    try:
        if folder.is_dir():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        else:
            tokenizer = Tokenizer.from_pretrained(name)
    except Exception as error:  # The library raises plain Exception for a missing file and for an unreachable hub.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"Cannot load the tokenizer of {name!r} ({reason}); give a model folder or a hub id."
        ) from error
    return lambda text: len(tokenizer.encode(f" {text}", add_special_tokens=False).ids) + 5
