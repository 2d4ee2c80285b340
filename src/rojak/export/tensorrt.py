"""TensorRT through onnxruntime's own provider: the files of `onnx`, and engines that are built and kept on a GPU.

An engine fits one GPU model and one TensorRT version; it is built when first run and cached in `engines/`.
"""

from pathlib import Path
from typing import Any

from rojak.errors import InputError, MissingExtraError
from rojak.export.runtime import Device

ENGINES_DIR = "engines"
TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"


def require_tensorrt() -> None:
    """Refuse a machine on which TensorRT cannot run.

    Raises:
        InputError: No GPU, or an onnxruntime without the TensorRT provider.
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("tensorrt needs onnxruntime; install it with: pip install onnxruntime-gpu.") from None
    import torch

    if not torch.cuda.is_available():
        raise InputError("--format tensorrt builds its engines on an NVIDIA GPU and this machine has none; use onnx.")
    if TENSORRT not in onnxruntime.get_available_providers():
        raise InputError(
            "--format tensorrt: this onnxruntime has no TensorRT provider; install onnxruntime-gpu and TensorRT, or "
            "use onnx."
        )


def providers(folder: Path, wanted_format: str, device: Device) -> list[Any]:
    """Give onnxruntime's providers for a folder, best first.

    Raises:
        InputError: The folder or the device needs a provider that is not there.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if wanted_format == "tensorrt":
        require_tensorrt()
        cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder / ENGINES_DIR)}
        return [(TENSORRT, cache | {"trt_fp16_enable": True}), CUDA, CPU]
    if device == "cuda" and CUDA not in available:
        raise InputError("device cuda: this onnxruntime has no CUDA provider; install onnxruntime-gpu, or take cpu.")
    return [CUDA, CPU] if CUDA in available and device != "cpu" else [CPU]
