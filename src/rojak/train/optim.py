"""The optimiser, its schedule, and its state as plain tensors.

Gives AdamW over the trainable parameters; the state goes to and comes from safetensors, never pickle.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn

from rojak.config.schema import OptimizerConfig
from rojak.errors import CheckpointError, MissingExtraError

NamedParameters = dict[str, nn.Parameter]


def trainable_parameters(model: nn.Module) -> NamedParameters:
    """Give the parameters that receive gradients, by name, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def build_optimizer(parameters: NamedParameters, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build AdamW (Loshchilov & Hutter, 2019), in 8 bits if asked for (Dettmers et al., 2022); only matrices decay.

    Raises:
        MissingExtraError: 8 bits without bitsandbytes.
    """
    decayed = [p for p in parameters.values() if p.ndim >= 2]
    others = [p for p in parameters.values() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if config.name == "adamw_8bit":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError:
            raise MissingExtraError(
                "optimizer.name: adamw_8bit needs bitsandbytes; install it with: pip install 'rojak[gpu]', "
                "or use adamw."
            ) from None
        eight: torch.optim.Optimizer = AdamW8bit(groups, betas=config.betas, eps=config.eps)
        return eight
    return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps, fused=True)


def schedule(step: int, total_steps: int, config: OptimizerConfig) -> float:
    """Give the factor on the peak learning rate: linear warmup, then half a cosine down to its floor.

    Args:
        step: Steps already done, from 0.
        total_steps: Of the whole run.
        config: Warmup and floor.
    """
    warmup = round(config.warmup_ratio * total_steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    floor = config.min_learning_rate_ratio
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: NamedParameters) -> dict[str, torch.Tensor]:
    """Give the optimiser's state as tensors named `<parameter>.<state>`; plain numbers become tensors."""
    return {
        # Cloned, since 8-bit states share their code tables and safetensors stores no tensor twice.
        f"{name}.{key}": torch.as_tensor(value).detach().cpu().contiguous().clone()
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: NamedParameters, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put tensors from `optimizer_tensors` back.

    Raises:
        CheckpointError: The tensors belong to other parameters.
    """
    for full_name, value in tensors.items():
        name, _, key = full_name.rpartition(".")
        if name not in parameters:
            raise CheckpointError(f"The optimiser state names {name}, which this model does not train.")
        parameter = parameters[name]
        if value.dtype == torch.int64:  # bitsandbytes counts steps in a plain number
            optimizer.state[parameter][key] = int(value)
            continue
        # A copy, since the optimiser changes its state in place. The fused step wants its count on the device too.
        optimizer.state[parameter][key] = value.to(parameter.device, copy=True)
