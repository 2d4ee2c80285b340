"""Read a configuration: YAML file, then `key.sub=value` overrides; every mistake is told at once.

Reads one YAML file; writes nothing.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from rojak.errors import ConfigError
from rojak.runs import explain_os_error

Model = TypeVar("Model", bound=BaseModel)


def load_config(schema: type[Model], path: Path | None, overrides: Iterable[str] = (), **flags: Any) -> Model:
    """Build a configuration from a file, `key.sub=value` overrides and command-line flags, later ones winning.

    Args:
        schema: The pydantic model to fill.
        path: YAML file, or None to start from the defaults.
        overrides: Such as `windows.mode=trim` or `stages.0.max_steps=10`; values are read as YAML.
        flags: Top-level settings; those that are None were not given.

    Raises:
        ConfigError: Lists all unknown keys (with the nearest known one), wrong types and ranges.
    """
    values = _read_yaml(path) if path else {}
    for override in overrides:
        _apply_override(values, override)
    values.update({name: value for name, value in flags.items() if value is not None})
    return _validate(schema, values, path)


def change_config(config: Model, changes: Mapping[str, Any]) -> Model:
    """Give a configuration with settings changed by their dotted names, checked as when read from a file.

    Raises:
        ConfigError: As `load_config`.
    """
    values = config.model_dump(mode="json")
    for name, value in changes.items():
        _put(values, name, value, f"{name}={value}")
    return _validate(type(config), values, None)


def _validate(schema: type[Model], values: dict[str, Any], path: Path | None) -> Model:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        origin = f"{path}" if path else "the given settings"
        problems = [_describe(schema, dict(problem)) for problem in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(problems) + ".") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; give a YAML file such as configs/demo.yaml.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path} is not valid YAML{place}: {error.problem}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold settings as `name: value` lines, not a {type(values).__name__}.")
    return values


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Override {override!r} is not of the form key=value, e.g. learning_rate=1e-4.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"The value of override {override!r} is not valid YAML.") from None
    _put(values, key, value, override)


def _put(values: dict[str, Any], key: str, value: Any, override: str) -> None:
    *parents, last = key.split(".")
    place: Any = values
    for part in parents:
        place = _step_into(place, part, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    else:
        place[last] = value


def _step_into(place: Any, part: str, override: str) -> Any:
    child = place[_index(place, part, override)] if isinstance(place, list) else place.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise ConfigError(f"Override {override!r} goes into {part}, which is a plain value.")
    return child


def _index(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise ConfigError(f"Override {override!r}: {part} must be a number from 0 to {len(place) - 1}.")
    return int(part)


def _describe(schema: type[BaseModel], problem: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(schema, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"unknown setting {location} ({hint})"
    if problem["type"] == "missing":
        return f"{location} is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{location}: {message[0].lower()}{message[1:]}" if location else message


def _fields_at(schema: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names allowed at a place inside the schema."""
    model: type[BaseModel] = schema
    for part in location:
        if isinstance(part, int):
            continue
        found = _model_in(model.model_fields[part].annotation) if part in model.model_fields else None
        if found is None:
            break
        model = found
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
