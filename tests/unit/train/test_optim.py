import pytest
import torch

from rojak.config.schema import OptimizerConfig
from rojak.errors import CheckpointError
from rojak.train.optim import build_optimizer, optimizer_tensors, restore_optimizer, schedule, set_learning_rate

CONFIG = OptimizerConfig(warmup_ratio=0.1, min_learning_rate_ratio=0.1)


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (55, 0.55), (100, 0.1), (150, 0.1)]
)
def test_schedule_rises_then_falls_along_a_cosine(step: int, factor: float) -> None:
    assert schedule(step, 100, CONFIG) == pytest.approx(factor)


def test_schedule_without_warmup_starts_at_the_peak() -> None:
    assert schedule(0, 10, OptimizerConfig(warmup_ratio=0)) == 1.0


def parameters() -> dict[str, torch.nn.Parameter]:
    return {"w": torch.nn.Parameter(torch.ones(2, 2)), "b": torch.nn.Parameter(torch.ones(2))}


def step(optimizer: torch.optim.Optimizer, named: dict[str, torch.nn.Parameter]) -> None:
    set_learning_rate(optimizer, 0.1)
    for parameter in named.values():
        parameter.grad = parameter.detach() * 2
    optimizer.step()


def test_a_restored_optimizer_goes_on_to_the_bit() -> None:
    first, second = parameters(), parameters()
    one = build_optimizer(first, CONFIG)
    step(one, first)
    with torch.no_grad():
        for name, parameter in second.items():
            parameter.copy_(first[name])
    two = build_optimizer(second, CONFIG)
    restore_optimizer(two, second, optimizer_tensors(one, first))
    step(one, first)
    step(two, second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_only_matrices_are_decayed() -> None:
    named = parameters()
    groups = build_optimizer(named, OptimizerConfig(weight_decay=0.5)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert groups[0]["params"] == [named["w"]]


def test_a_state_of_other_parameters_is_refused() -> None:
    named = parameters()
    with pytest.raises(CheckpointError, match="names elsewhere"):
        restore_optimizer(build_optimizer(named, CONFIG), named, {"elsewhere.exp_avg": torch.zeros(1)})
