"""SIGReg's training step on a GPU, beside the least time that its bytes and operations need."""

from collections.abc import Callable
from typing import Any

import torch

from lewm.regularizers import SIGReg
from lewm.regularizers.sigreg.characteristic_function import characteristic_function
from scripts.benchmarks.direct_formulas import seeded
from scripts.benchmarks.measuring import gaussian, medians, value_and_gradient

GPUS = {"H200": (4.8e12, 67e12), "H100": (3.35e12, 67e12), "A100": (2.0e12, 19.5e12)}
"""Bytes per second of the memory, float32 operations per second without tensor cores."""


def gpu_step(repeats: int, shape: tuple[int, int, int] = (128, 4, 192)) -> dict[str, float | None]:
    """us of a forward and backward pass of SIGReg: as called, without launching (replayed), and the least possible."""
    device = torch.device("cuda")
    sigreg, z = SIGReg().to(device), gaussian(shape, "cuda")
    generator = seeded(device)
    x = gaussian((shape[1] * sigreg.num_directions, shape[0]), "cuda")
    steps: dict[str, Callable[[], Any]] = {
        "as_called": lambda: value_and_gradient(lambda z: sigreg(z, generator=generator), z),
        "without_check_of_input": lambda: value_and_gradient(lambda z: sigreg.loss(z, generator), z),
    }
    numbers: dict[str, float | None] = {name: 1e3 * ms for name, ms in medians(steps, device, repeats).items()}
    knots = (sigreg.min_knot, sigreg.spacing, len(sigreg.root_weight))
    kernels = lambda: value_and_gradient(lambda x: characteristic_function(x, *knots).sum(), x)  # noqa: E731
    numbers["replayed"] = replayed_us(steps["without_check_of_input"], generator, repeats)
    numbers["replayed_characteristic_function"] = replayed_us(kernels, generator, repeats)
    return numbers | {"floor": floor_us(torch.cuda.get_device_name(), shape, sigreg.num_directions, knots[2])}


def replayed_us(function: Callable[[], Any], generator: torch.Generator, repeats: int) -> float:
    """Of one call, recorded as a CUDA graph and replayed 20 times in a row."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        function()
    replays = {"graph": lambda: [graph.replay() for _ in range(20)]}
    return 1e3 * medians(replays, torch.device("cuda"), repeats)["graph"] / 20


def floor_us(gpu: str, shape: tuple[int, int, int], num_directions: int, num_knots: int) -> float | None:
    """The larger of the times that memory and arithmetic need; None for a GPU whose speed is not known here.

    Bytes: embeddings read, their gradient written, directions written and read twice, projections written and read
    twice, their gradient written and read. Operations, a multiply-add as 2: two matrix products, and for each
    projection and knot two rotations (4 multiply-adds each), two sums and two multiply-adds.
    """
    speed = next((value for name, value in GPUS.items() if name in gpu), None)
    if speed is None:
        return None
    num_samples, dim = shape[0] * shape[1], shape[2]
    num_projections = num_samples * num_directions
    num_bytes = 4 * (2 * num_samples * dim + 3 * dim * num_directions + 5 * num_projections)
    operations = 2 * (2 * num_projections * dim + num_projections * num_knots * (2 * 4 + 2 + 2))
    return 1e6 * max(num_bytes / speed[0], operations / speed[1])
