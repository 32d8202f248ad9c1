"""Accelerator of a training: device, precision, ranks and threads."""

from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from lewm.config import TrainConfig
from lewm.distributed import num_local_ranks, use_all_cores
from lewm.errors import InputError
from lewm.precision import choose_precision


def start_accelerator(config: TrainConfig) -> Accelerator:
    """Starts accelerate with the device and precision of a configuration, and shares the cores among the ranks.

    Raises:
      InputError: precision or devices are unknown, not there, or do not go together.
    """
    device = choose_device(config.device)
    on_gpu = device == "cuda"
    precision = choose_precision("training.precision", config.training.precision, device)
    accelerator = Accelerator(
        cpu=not on_gpu,
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],  # ranks wait while one collects or plans
    )
    if config.data.device not in ("auto", "cpu", "cuda") or (config.data.device == "cuda" and not on_gpu):
        raise InputError(
            f"data.device={config.data.device!r}: give auto or cpu, or cuda where the model trains on a GPU"
        )
    use_all_cores(config.num_threads, num_local_ranks())
    accelerator.print(", ".join(f"{key} {value}" for key, value in describe_accelerator(accelerator).items()))
    return accelerator


def describe_accelerator(accelerator: Accelerator) -> dict[str, Any]:
    """What a training runs on, with what was chosen for auto."""
    return {
        "device": accelerator.device.type,
        "precision": "bfloat16" if accelerator.mixed_precision == "bf16" else "float32",
        "num_processes": accelerator.num_processes,
        "num_threads": torch.get_num_threads(),
    }


def choose_device(device: str) -> str:
    """Resolves auto, cpu or cuda to cpu or cuda.

    Raises:
      InputError: it is another word, or cuda where torch sees no GPU.
    """
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device={device!r}: give auto or cpu, or cuda where torch sees a GPU")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
