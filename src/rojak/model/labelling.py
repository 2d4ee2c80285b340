"""What stands in a model's labels besides plain text: language tags, and one token for each particle.

A model that was trained so must be decoded so. The file `rojak.json` beside its weights says it; a folder without that
file holds a plain Whisper.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rojak.errors import InputError
from rojak.runs import read_json, write_json

LABELLING_FILE = "rojak.json"
LanguageTags = Literal["none", "switch", "word"]


@dataclass(frozen=True)
class Labelling:
    """The conventions of a model's labels.

    Attributes:
        language_tags: `switch`: the decoder's own language token stands before the first word in another language than
            the one before (than the prompt's, at the start); `word`: it stands after each word that has a language.
        particle_tokens: Particle, as spelt, to the id of its own token.
    """

    language_tags: LanguageTags = "none"
    particle_tokens: dict[str, int] = field(default_factory=dict)


def write_labelling(folder: Path, labelling: Labelling) -> None:
    """Write `rojak.json` where there is something to say, and nothing for a plain Whisper."""
    if labelling != Labelling():
        write_json(folder / LABELLING_FILE, asdict(labelling))


def read_labelling(folder: Path) -> Labelling:
    """Read a model folder's `rojak.json`; a folder without one is a plain Whisper.

    Raises:
        InputError: The file is not what Rojak writes.
    """
    path = folder / LABELLING_FILE
    if not path.is_file():
        return Labelling()
    values: Any = read_json(path)
    match values:
        case {"language_tags": "none" | "switch" | "word" as tags, "particle_tokens": dict(particles)} if all(
            isinstance(token, int) for token in particles.values()
        ):
            return Labelling(tags, particles)
    raise InputError(f"{path} is not what Rojak writes; it needs language_tags and particle_tokens.")
