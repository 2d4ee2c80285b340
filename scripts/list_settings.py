"""Write docs/all-settings.md from the settings themselves: name, default, meaning.

    python scripts/list_settings.py > docs/all-settings.md

A test holds the page against this.
"""

import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rojak.config.schema import StageConfig, TrainConfig
from rojak.data.settings import PrepareSettings
from rojak.train.rundir import HARMLESS

PAGE = """# Every setting

Made by `scripts/list_settings.py` from `src/rojak/config/schema.py` and `src/rojak/data/settings.py`.

## `rojak train`

In a YAML file, or after it as `key.sub=value` (`windows.mode=trim`, `stages.0.max_steps=10`). A run is not continued
with another setting, unless `--allow-change` is given or the setting is one of {harmless}.

{train}
### Stages

`stages` is a list of these; without one there is a single stage, `all`, over everything.

{stages}
## `rojak prepare`

After `--set`, as in `--set min_snr_db=5`. What each threshold refuses stands in [data.md](data.md).

{prepare}"""


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


def page() -> str:
    """Give the whole page."""
    harmless = ", ".join(f"`{name}`" for name in sorted(HARMLESS))
    return PAGE.format(
        harmless=harmless,
        train=table(rows(TrainConfig, "", leave_out=("stages",))),
        stages=table(rows(StageConfig, "stages[].")),
        prepare=table(rows(PrepareSettings, "", leave_out=("word_lists",))),
    )


def rows(section: type[BaseModel], prefix: str, leave_out: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Give name, default and meaning of every setting of a section and of the sections in it."""
    for name, field in section.model_fields.items():
        if name in leave_out:
            continue
        inner = _section_in(field.annotation)
        if inner is not None and field.default is not None:
            listed = get_origin(field.annotation) is tuple
            yield from rows(inner, f"{prefix}{name}{'[]' if listed else ''}.")
            continue
        yield f"{prefix}{name}", _default(field), _meaning(field)


def table(lines: Iterator[tuple[str, str, str]]) -> str:
    """Lay rows out."""
    body = "".join(f"| `{name}` | {default} | {meaning} |\n" for name, default, meaning in lines)
    return f"| setting | default | meaning |\n|---|---|---|\n{body}"


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _section_in(inner))), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "–"
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{shown.lower() if isinstance(value, bool) else shown}`"


def _meaning(field: FieldInfo) -> str:
    choices = list(dict.fromkeys(_choices(field.annotation)))
    word = "Any of" if get_origin(field.annotation) is tuple else "One of"
    allowed = f"{word} {', '.join(f'`{one}`' for one in choices)}. " if len(choices) > 1 else ""
    return (allowed + (field.description or "")).strip().replace("|", "\\|")


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        for inner in get_args(annotation):
            yield from _choices(inner)


if __name__ == "__main__":
    main()
