"""The word lists behind the tagger: particles, words of known language, names and fixed phrases.

Reads `resources/*.yaml`, which ship with Rojak, and YAML files of the same shape from a user (see docs/language.md).
The user's files in force are named by the environment variable ROJAK_WORDS, so that worker processes have them too.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from rojak.errors import ConfigError

WordKind = Literal["ms", "en", "other", "shared", "name", "maybe_name", "name_link", "title"]
_EXCLUSIVE: tuple[WordKind, ...] = ("ms", "en", "other", "shared", "name")
"""Of these a word can be only one; `maybe_name` and the rest say something besides."""
_BUILT_IN = ("particles.yaml", "words.yaml", "names.yaml")
WORDS_VARIABLE = "ROJAK_WORDS"
"""Environment variable that names the user's files, divided as in PATH."""


def _split_words(value: Any) -> Any:
    """Accept a list, or one string whose words are separated by blanks; lower-case both."""
    if isinstance(value, str):
        value = value.split()
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return [word.lower() for word in value]
    return value


Words = Annotated[frozenset[str], BeforeValidator(_split_words)]
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, to_lower=True)]


class Rule(BaseModel):
    """One rule for a spelling that is a particle and also another word; it fits when all its conditions hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: Literal["ms", "en", "zh", "ta", "particle", "other", "context"]
    after: Words | None = None
    before: Words | None = None
    after_near: Words | None = None
    before_near: Words | None = None
    at: Literal["start", "end", "alone", "inside"] | None = None
    nth: Annotated[int, Field(ge=1)] | None = None
    neighbour: Literal["ms", "en", "zh", "ta", "other"] | None = None
    name: Literal["next", "previous"] | None = None
    cased: Literal["upper", "title"] | None = None


class Particle(BaseModel):
    """A discourse particle: its other spellings, and rules for those spellings that are also another word."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variants: Words = frozenset()
    rules: dict[str, tuple[Rule, ...]] = {}


class WordLists(BaseModel):
    """What one YAML file may hold; every part may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    particles: dict[str, Particle | None] = {}
    words: dict[WordKind, Words] = {}
    phrases: dict[Literal["ms", "en", "other"], tuple[Phrase, ...]] = {}

    def merged_with(self, later: "WordLists") -> "WordLists":
        """Join two files; what the later one says about a particle or a word replaces what this one says."""
        words = dict(later.words)
        for kind, found in self.words.items():
            rivals: tuple[WordKind, ...] = _EXCLUSIVE if kind in _EXCLUSIVE else ("name",)
            replaced = (later.words.get(rival, frozenset()) for rival in rivals if rival != kind)
            words[kind] = found.difference(*replaced) | later.words.get(kind, frozenset())
        phrases = {kind: (*found, *later.phrases.get(kind, ())) for kind, found in self.phrases.items()}
        phrases = later.phrases | phrases
        return WordLists(particles=self.particles | later.particles, words=words, phrases=phrases)


def parse_word_lists(text: str, where: str) -> WordLists:
    """Check the text of a YAML file and make it word lists.

    Raises:
        ConfigError: The text is no YAML, or holds a key or value that is not allowed; names all of them.
    """
    try:
        # The C loader is ten times as fast; both are safe loaders.
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {' '.join(str(error).split())}.") from None
    try:
        return WordLists.model_validate(content if content is not None else {})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg'].lower()}" for e in error.errors())
        raise ConfigError(f"{where}: {problems}; allowed at the top are particles, words and phrases.") from None


@lru_cache(maxsize=1)
def built_in_word_lists() -> WordLists:
    """Read the lists that ship with Rojak."""
    folder = resources.files("rojak.text") / "resources"
    return _merge(parse_word_lists((folder / name).read_text("utf-8"), name) for name in _BUILT_IN)


def own_lists() -> tuple[Path, ...]:
    """Give the user's files in force."""
    named = os.environ.get(WORDS_VARIABLE)
    return tuple(Path(path) for path in named.split(os.pathsep) if path) if named else ()


def use_own_lists(paths: Sequence[str | Path]) -> None:
    """Put a user's files in force for this process and those that it starts; they are read at once.

    Raises:
        ConfigError: A file cannot be read or holds something that is not allowed.
    """
    files = tuple(Path(path).absolute() for path in paths)
    load_word_lists(files)
    os.environ[WORDS_VARIABLE] = os.pathsep.join(map(str, files))


@contextmanager
def own_lists_in_force(paths: Sequence[str | Path]) -> Iterator[None]:
    """Put a user's files in force for a while; with none, those already in force stay."""
    before = os.environ.get(WORDS_VARIABLE, "")
    if paths:
        use_own_lists(paths)
    try:
        yield
    finally:
        os.environ[WORDS_VARIABLE] = before


def name_own_lists() -> list[str]:
    """Name the user's files in force with a hash of what they say: `mine.yaml (3f9a…)`.

    Raises:
        ConfigError: A file cannot be read or holds something that is not allowed.
    """
    load_word_lists(own_lists())
    return [f"{path.name} ({hashlib.sha256(path.read_bytes()).hexdigest()[:8]})" for path in own_lists()]


def load_word_lists(extra_paths: Sequence[Path] = ()) -> WordLists:
    """Read the built-in lists and lay the user's files over them, in order.

    Raises:
        ConfigError: A file cannot be read or holds something that is not allowed.
    """
    lists = [built_in_word_lists()]
    for path in extra_paths:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"Cannot read the word list {path}: {error}; name a UTF-8 YAML file.") from None
        lists.append(parse_word_lists(text, str(path)))
    return _merge(lists)


def _merge(lists: Iterable[WordLists]) -> WordLists:
    merged = WordLists()
    for more in lists:
        merged = merged.merged_with(more)
    return merged
