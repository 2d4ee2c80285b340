"""What the machine offers: device and number format.

Asks torch; reads no files.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import PartialState

from rojak.errors import ConfigError

Precision = Literal["bf16", "fp16", "fp32"]


def choose_precision(wanted: Literal["auto", "bf16", "fp16", "fp32"], device: torch.device) -> Precision:
    """Give the number format for a device: bf16 where it is fast, else fp16 on a GPU and fp32 elsewhere.

    Raises:
        ConfigError: fp16 was asked for without a GPU, where nothing computes in it.
    """
    if wanted == "fp16" and device.type != "cuda":
        raise ConfigError(f"precision: fp16 needs a CUDA GPU and this machine computes on {device.type}; use auto.")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    # torch older than 2.12 cannot tell; float32 is always right, only slower.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "amx_tile"))


@dataclass(frozen=True)
class Compute:
    """Where and in which number format a run computes."""

    device: torch.device
    precision: Precision

    @property
    def name(self) -> str:
        """What computes, as CUDA names it ("NVIDIA A100-SXM4-80GB"), else `cpu`."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    @property
    def dtype(self) -> torch.dtype:
        """Format of frozen weights and, under `autocast`, of matrix products."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[self.precision]

    def autocast(self) -> torch.autocast:
        """Give a context in which matrix products run in `dtype`; in float32 it does nothing."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.precision != "fp32")


def choose_compute(wanted: Literal["auto", "bf16", "fp16", "fp32"]) -> Compute:
    """Find this process's device, as accelerate sees it, and its number format."""
    device = PartialState().device
    return Compute(device, choose_precision(wanted, device))
