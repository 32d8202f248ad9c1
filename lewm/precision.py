"""Precision of training, planning and heads: what the hardware is fast in, unless the user chooses; and autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch

from lewm.errors import InputError

PRECISIONS = ("auto", "float32", "bfloat16")


def choose_precision(key: str, asked: str, device: str) -> str:
    """float32 or bfloat16 for one of PRECISIONS.

    Args:
      key: key of the configuration, for the error.
      asked: auto chooses by the hardware.
      device: cpu or cuda.

    Raises:
      InputError: `asked` is another word.
    """
    if asked not in PRECISIONS:
        raise InputError(f"{key}={asked!r}; there are {', '.join(PRECISIONS)}")
    if asked == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return asked


def choose_inference_precision(key: str, asked: str, device: str) -> str:
    """float32 or bfloat16 for work with a trained model: auto is float32 on every CPU, so that all CPUs plan alike.

    Arguments and errors are those of choose_precision.
    """
    if asked == "auto" and device == "cpu":
        return "float32"
    return choose_precision(key, asked, device)


def has_bfloat16(device: str) -> bool:
    """Whether a device, cpu or cuda, calculates in bfloat16 by instructions of its own.

    All others do so in float32, rounding as they go: on such a CPU a training takes several times as long.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN also accepts x86 CPUs that have AVX-512 only.
    is_x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return _asked_of_torch(torch.ops.mkldnn, "_is_mkldnn_bf16_supported") and (
        not is_x86
        or _asked_of_torch(torch.cpu, "_is_avx512_bf16_supported")
        or _asked_of_torch(torch.cpu, "_is_amx_tile_supported")
    )


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Context without autocast on a type of device, also on one that knows none, such as meta."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _asked_of_torch(module: object, name: str) -> bool:
    """Answer of one of torch's own checks; False where this build of torch lacks it."""
    try:
        return bool(getattr(module, name)())
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
