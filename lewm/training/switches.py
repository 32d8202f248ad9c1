"""Switches of a training that change its speed: CUDA graph and compiled blocks."""

import os
import shutil
from typing import NamedTuple

from accelerate import Accelerator

from lewm.config import TrainingConfig
from lewm.errors import InputError
from lewm.regularizers import Regularizer

MIN_COMPILED_STEPS = 5000
"""Steps from which on auto compiles: compiling takes half a minute, which a shorter training does not win back."""


class Switches(NamedTuple):
    """What is switched on.

    Attributes:
      graph: steps are recorded as a CUDA graph, and replayed.
      compile: blocks are compiled.
    """

    graph: bool
    compile: bool


def choose_switches(training: TrainingConfig, accelerator: Accelerator, regularizer: Regularizer) -> Switches:
    """Resolves training.graph and training.compile.

    Args:
      training: its `graph` and `compile` are true, false or auto, which is on where it pays.
      accelerator: device and ranks.
      regularizer: part of the step that may not be recordable.

    Raises:
      InputError: something is asked for that is not there.
    """
    on_gpu = accelerator.device.type == "cuda"
    graph, compiled = training.graph, training.compile
    recordable = on_gpu and accelerator.num_processes == 1 and regularizer.recordable
    if graph is True and not recordable:
        waits = "" if regularizer.recordable else f", and {type(regularizer).__name__} makes the GPU wait"
        raise InputError(f"training.graph=true needs one process on one GPU{waits}: give training.graph=auto")
    if graph == "auto":
        graph = recordable
    if compiled is True and not has_c_compiler():
        raise InputError("training.compile=true needs a C compiler: install gcc, or give training.compile=auto")
    if compiled == "auto":
        compiled = on_gpu and training.num_steps >= MIN_COMPILED_STEPS and has_c_compiler()
    return Switches(bool(graph), bool(compiled))


def has_c_compiler() -> bool:
    """Whether there is one of those that Triton and Inductor call."""
    return any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang")))
