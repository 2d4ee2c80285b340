"""Which utterances a training stage sees, in which order: a function of the stage, the seed and the epoch alone.

Takes records, gives indices; reads no files. A selection is a small expression over the record's fields:

    language == "mixed" and quality_score >= 4
    "lah" in particles or not (snr_db < 15)
"""

import ast
import difflib
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rojak.config.schema import MixtureComponent
from rojak.data.annotate import particle_forms, switch_pair
from rojak.errors import ConfigError, TrainingError
from rojak.records import Utterance

Indices = npt.NDArray[np.int64]
Predicate = Callable[[Mapping[str, Any]], bool]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group,
    ast.NotIn: lambda item, group: item not in group,
}
_FIELDS = (*Utterance.model_fields, "particles", "switch_pair")
MAX_REPEATS = 8
"""Of an utterance in one pass: more teach its speaker and its words instead of its particle."""
_CONSTANTS = {"true": True, "false": False, "none": None}


def selectable_fields(utterance: Utterance) -> dict[str, Any]:
    """Give what an expression may ask of a record: its fields, unknown ones, `particles` and `switch_pair`."""
    fields: dict[str, Any] = {name: getattr(utterance, name) for name in Utterance.model_fields}
    fields.update(utterance.model_extra or {})
    fields.setdefault("particles", particle_forms(utterance.words or ()))
    fields.setdefault("switch_pair", switch_pair(utterance.words or ()))
    return fields


def compile_selection(expression: str, extra_fields: Sequence[str] = ()) -> Predicate:
    """Turn an expression into a test on `selectable_fields`; nothing is ever evaluated as Python.

    Allowed are and, or, not, comparisons, `in`, strings, numbers, lists and field names. A comparison with a field that
    a record lacks is false.

    Args:
        expression: The text from the configuration.
        extra_fields: Names beyond Rojak's own that occur in the data.

    Raises:
        ConfigError: The expression is malformed or names an unknown field.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(
            f'Cannot read the selection {expression!r}; write e.g. language == "mixed" and snr_db < 15.'
        ) from None
    known = (*_FIELDS, *extra_fields)

    def value_of(node: ast.expr) -> Callable[[Mapping[str, Any]], Any]:  # noqa: PLR0911 - one line a kind of node
        match node:
            case ast.Constant(value=str() | int() | float() | bool() | None as constant):
                return lambda _: constant
            case ast.Name(id=name) if name.lower() in _CONSTANTS:
                return lambda _: _CONSTANTS[name.lower()]
            case ast.Name(id=name) if name in known:
                return lambda fields: fields.get(name)
            case ast.Name(id=name):
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise ConfigError(f"Selection {expression!r} asks for unknown field {name} ({hint}).")
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                parts = [value_of(element) for element in elements]
                return lambda fields: [part(fields) for part in parts]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return lambda _: -number
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = value_of(operand)
                return lambda fields: not inner(fields)
            case ast.BoolOp(op=op, values=operands):
                tests = [value_of(operand) for operand in operands]
                combine = all if isinstance(op, ast.And) else any
                return lambda fields: combine(bool(test(fields)) for test in tests)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                values = [value_of(side) for side in (left, *rights)]
                operators = [_COMPARISONS.get(type(op)) for op in ops]
                if None not in operators:
                    return lambda fields: _compare([value(fields) for value in values], operators)
        raise ConfigError(
            f"Selection {expression!r} may only use and, or, not, comparisons, in, field names, strings and numbers."
        )

    test = value_of(tree)
    return lambda fields: bool(test(fields))


def _compare(values: Sequence[Any], operators: Sequence[Callable[[Any, Any], Any] | None]) -> bool:
    for left, compare, right in zip(values, operators, values[1:], strict=False):
        assert compare is not None
        try:
            if not compare(left, right):
                return False
        except TypeError:
            return False
    return True


class Mixture:
    """The samples of one stage; `spliced` holds, by place of a component, the made utterances it stands for.

    An epoch has as many samples as there are distinct selected utterances. Each component gives its share of them by
    weight, going round its own shuffled list, so that none of its utterances comes twice before all came once (but for
    those that `particle_share` repeats).
    """

    def __init__(
        self,
        components: Sequence[MixtureComponent],
        utterances: Sequence[Utterance],
        stage: str,
        spliced: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        fields = [selectable_fields(utterance) for utterance in utterances]
        extra = sorted({name for row in fields for name in row})
        self._names: list[str] = []
        self._members: list[Indices] = []
        weights: list[float] = []
        for place, component in enumerate(components):
            members = list((spliced or {}).get(place, ())) or select_recorded(component, fields, stage)
            parts = _balanced(component, members, fields, extra)
            for name, part in parts:
                repeated = repeat_particles(part, fields, component.particle_share)
                self._names.append(name)
                self._members.append(np.array(repeated, dtype=np.int64))
                weights.append(component.weight / len(parts))
        self.selected: list[int] = sorted({int(i) for members in self._members for i in members})
        edges = np.round(np.cumsum(np.array(weights) / sum(weights)) * len(self.selected)).astype(int)
        self._counts: list[int] = np.diff(edges, prepend=0).tolist()

    def shares(self) -> list[dict[str, Any]]:
        """Say what an epoch is made of: for each part its samples, their share, and how often each utterance comes."""
        return [
            {
                "select": name,
                "utterances": len(set(members.tolist())),
                "samples": count,
                "share": round(count / len(self), 4),
                "passes": round(count / len(members), 3),
            }
            for name, members, count in zip(self._names, self._members, self._counts, strict=True)
        ]

    def __len__(self) -> int:
        """Give the samples in an epoch."""
        return len(self.selected)

    def order(self, seed: int, stage_index: int, epoch: int) -> list[int]:
        """Give the epoch's utterance indices in training order."""
        drawn: list[int] = []
        for part, (members, count) in enumerate(zip(self._members, self._counts, strict=True)):
            start = epoch * count
            for position in range(start, start + count):
                turn, place = divmod(position, len(members))
                drawn.append(int(self._shuffled(members, (seed, stage_index, part, turn))[place]))
        shuffle = np.random.default_rng((seed, stage_index, epoch, 1))
        return [drawn[i] for i in shuffle.permutation(len(drawn))]

    def _shuffled(self, members: Indices, key: tuple[int, ...]) -> Indices:
        cached = getattr(self, "_last_shuffle", None)
        if cached is None or cached[0] != key:
            cached = (key, np.random.default_rng(key).permutation(members))
            self._last_shuffle = cached
        return cached[1]


def select_recorded(component: MixtureComponent, fields: Sequence[Mapping[str, Any]], stage: str) -> list[int]:
    """Give the indices of the recorded utterances that a component selects; made ones are never among them.

    Args:
        component: Its `select` is asked.
        fields: `selectable_fields` of every utterance.
        stage: For the error message.

    Raises:
        ConfigError: The expression cannot be used.
        TrainingError: Nothing meets it.
    """
    selected = compile_selection(component.select, sorted({name for row in fields for name in row}))
    members = [i for i, row in enumerate(fields) if "spliced_from" not in row and selected(row)]
    if not members:
        raise TrainingError(f"Stage {stage} selects {component.select!r}, which no training utterance meets.")
    return members


def repeat_particles(members: Sequence[int], fields: Sequence[Mapping[str, Any]], share: float | None) -> list[int]:
    """List utterances again and again by how rare their particles are, so that a rare particle is met more often.

    Repeat-factor sampling (Gupta et al., "LVIS", CVPR 2019) without its square root: a particle in a share f of the
    utterances asks for share / f repeats, at least 1 and at most `MAX_REPEATS`; an utterance follows its rarest one.
    """
    if share is None:
        return list(members)
    holders = Counter(form for index in members for form in set(fields[index]["particles"]))
    wanted = {form: share * len(members) / count for form, count in holders.items()}
    return [
        index
        for index in members
        for _ in range(round(min(MAX_REPEATS, max([1.0, *(wanted[form] for form in fields[index]["particles"])]))))
    ]


def _balanced(
    component: MixtureComponent, members: list[int], fields: Sequence[Mapping[str, Any]], known: Sequence[str]
) -> list[tuple[str, list[int]]]:
    """Divide a component's members by the field it balances, each value a part of its own with an equal share."""
    field, name = component.balance, f"{component.select} · spliced" if component.spliced else component.select
    if field is None:
        return [(name, members)]
    if field not in known:
        raise ConfigError(f"balance: no record has the field {field!r}; there are {', '.join(known)}.")
    parts: dict[str, list[int]] = {}
    for index in members:
        parts.setdefault(str(fields[index].get(field)), []).append(index)
    return [(f"{name} · {field} {value}", parts[value]) for value in sorted(parts)]
