"""Accelerator of a training: device, precision, ranks and threads."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DistributedType

from lewm.config import TrainConfig
from lewm.distributed import num_local_ranks, use_all_cores
from lewm.errors import InputError
from lewm.precision import choose_precision

REFUSED = {
    "ACCELERATE_DYNAMO_BACKEND": "give training.compile=true instead of a dynamo backend",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        "the regularizer needs the whole batch of a step: unset it, or give a larger training.batch_size instead"
    ),
    "ACCELERATE_USE_DEEPSPEED": "the ranks train by DDP: leave DeepSpeed out",
    "ACCELERATE_USE_FSDP": "the ranks train by DDP: leave FSDP out",
    "ACCELERATE_USE_MEGATRON_LM": "the ranks train by DDP: leave Megatron-LM out",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "the ranks train by DDP: leave tensor, context and sequence parallelism out",
    "ACCELERATE_DOWNCAST_BF16": "it is for TPUs, on which nothing here runs: leave it out",
}
"""Settings of accelerate that a training does not follow, by their variable, and what to do instead."""

LAUNCHED = {"bf16": "bfloat16", "no": "auto"}
"""training.precision by accelerate's --mixed_precision, which is "no" where nobody has said anything."""


def start_accelerator(config: TrainConfig) -> Accelerator:
    """Starts accelerate with the device and precision of a configuration, and shares the cores among the ranks.

    Raises:
      InputError: precision or devices are unknown, not there, or do not go together, or accelerate was started with
        settings that the training does not follow.
    """
    check_launcher(os.environ)
    device = choose_device(launched_device(config.device, os.environ))
    on_gpu = device == "cuda"
    asked = launched_precision(config.training.precision, os.environ)
    precision = choose_precision("training.precision", asked, device)
    accelerator = Accelerator(
        cpu=not on_gpu,
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],  # ranks wait while one collects or plans
    )
    check_backend(accelerator, device)
    if config.data.device not in ("auto", "cpu", "cuda") or (config.data.device == "cuda" and not on_gpu):
        raise InputError(
            f"data.device={config.data.device!r}: give auto or cpu, or cuda where the model trains on a GPU"
        )
    use_all_cores(config.num_threads, num_local_ranks())
    accelerator.print(", ".join(f"{key} {value}" for key, value in describe_accelerator(accelerator).items()))
    return accelerator


def check_launcher(variables: Mapping[str, str]) -> None:
    """Refuses settings that a training would ignore, of `accelerate launch`, its configuration file or the shell."""
    for name, remedy in REFUSED.items():
        neutral = ("1",) if name.endswith("_STEPS") else ("", "0", "no", "false")
        if (value := variables.get(name)) and value.lower() not in neutral:
            raise InputError(f"accelerate is set up with {name}={value}: {remedy}")
    if _is_on(variables, "ACCELERATE_USE_CPU") and "MASTER_ADDR" in variables and not _RANKS & variables.keys():
        raise InputError(
            "`accelerate launch --cpu` starts one process whatever its --num_processes, unless MPI starts more: launch"
            " with --config_file scripts/two_cpu_ranks.yaml device=cpu, or with one process and MASTER_ADDR unset"
        )


_RANKS = frozenset(["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"])
"""Variables by which torchrun and MPI tell a process how many there are."""


def _is_on(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").lower() in ("1", "true", "yes", "on", "y", "t")


def launched_device(asked: str, variables: Mapping[str, str]) -> str:
    """The `device` of the configuration, or where that is auto, cpu after `accelerate launch --cpu`."""
    if not _is_on(variables, "ACCELERATE_USE_CPU"):
        return asked
    if asked == "cuda":
        raise InputError("device=cuda is not `accelerate launch --cpu` (ACCELERATE_USE_CPU): leave one of them out")
    return "cpu" if asked == "auto" else asked


def check_backend(accelerator: Accelerator, device: str) -> None:
    """Refuses what accelerate chose by itself: another device than cpu or cuda as asked, other ranks than DDP's."""
    ranks = DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU
    if accelerator.device.type != device or accelerator.distributed_type not in ranks:
        raise InputError(
            f"accelerate chose the device {accelerator.device} and ranks of type {accelerator.distributed_type.value},"
            f" and a training runs on {device}, its ranks by DDP: set it up for GPUs or CPUs"
        )


def launched_precision(asked: str, variables: Mapping[str, str]) -> str:
    """training.precision, or where that is auto, the --mixed_precision of `accelerate launch`."""
    launched = variables.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in LAUNCHED:
        raise InputError(
            f"accelerate is set up with --mixed_precision {launched}, whose losses need scaling: give bf16 or no"
        )
    wanted = LAUNCHED[launched]
    if "auto" not in (asked, wanted) and asked != wanted:
        raise InputError(f"training.precision={asked} is not --mixed_precision {launched}: leave one of them out")
    return wanted if asked == "auto" else asked


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
