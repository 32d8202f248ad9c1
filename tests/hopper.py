"""A compute card of NVIDIA's Hopper generation (sm_90) that is not there: its code is made, and not run."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.node import map_aggregate

SHARED_BYTES = 232_448
"""Most shared memory of a block of threads."""

H100 = SimpleNamespace(
    name="NVIDIA H100",
    major=9,
    minor=0,
    multi_processor_count=132,
    regs_per_multiprocessor=65_536,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    warp_size=32,
    total_memory=80 * 2**30,
    shared_memory_per_block=49_152,
    shared_memory_per_block_optin=SHARED_BYTES,
    shared_memory_per_multiprocessor=233_472,
    L2_cache_size=50 * 2**20,
)
"""What Inductor asks of a card."""


def hopper_backend(kernels: list[Any]) -> Callable[..., Any]:
    """Makes a backend of torch.compile that compiles each graph, forward and backward, for sm_90, and runs it plainly.

    Graphs are recorded on the CPU, given the card's device, and compiled by Inductor and Triton down to machine code.

    Args:
      kernels: list that Triton's compiled kernels are appended to.
    """
    pytest.importorskip("triton")
    from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
    from torch._dynamo.backends.common import aot_autograd
    from torch._guards import TracingContext, detect_fake_mode, tracing
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.fx_passes.joint_graph import joint_graph_passes
    from torch._inductor.virtualized import V

    def compile_graph(graph: GraphModule, inputs: list[Any]) -> Any:
        mode = FakeTensorMode()
        with _card(kernels), tracing(TracingContext(mode)):
            with mode:
                on_card = [_like(each) if isinstance(each, Tensor) else each for each in inputs]
            compile_fx_inner(_moved(graph), on_card)
        return make_boxed_func(graph.forward)

    def partition(joint_graph: GraphModule, inputs: Any, **options: Any) -> Any:
        with V.set_fake_mode(detect_fake_mode(inputs)):
            joint_graph_passes(joint_graph)
        return min_cut_rematerialization_partition(joint_graph, inputs, **options)

    return aot_autograd(
        fw_compiler=compile_graph,
        bw_compiler=compile_graph,
        decompositions=select_decomp_table(),
        partition_fn=partition,
    )


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")


def _moved(graph: GraphModule) -> GraphModule:
    """A copy of a graph whose new tensors are the card's."""
    graph = copy.deepcopy(graph)
    for node in graph.graph.nodes:
        node.args, node.kwargs = map_aggregate((node.args, node.kwargs), _moved_device)
    graph.recompile()
    return graph


def _moved_device(argument: Any) -> Any:
    return torch.device("cuda", 0) if isinstance(argument, torch.device) else argument


@contextmanager
def _card(kernels: list[Any]) -> Iterator[None]:
    """Answers all that Inductor and Triton ask of a driver; kernels are compiled, and no launchers made for them."""
    import triton.runtime.driver
    from torch._dynamo.device_interface import CudaInterface
    from torch._inductor import config
    from torch._inductor.runtime import triton_helpers
    from torch._inductor.runtime.triton_heuristics import CachingAutotuner
    from torch._subclasses import fake_tensor
    from triton.backends.compiler import GPUTarget

    target = GPUTarget("cuda", 90, 32)
    driver = SimpleNamespace(get_current_target=lambda: target, get_current_device=lambda: 0)
    compile_one = CachingAutotuner._precompile_config

    def keep(self: Any, arguments: Any) -> Any:
        result = compile_one(self, arguments)
        kernels.append(result.kernel)
        return result

    answers: dict[Any, dict[str, Any]] = {
        fake_tensor: {"init_gpu_context": lambda _: None},
        torch.cuda: {
            "is_available": lambda: True,
            "is_bf16_supported": lambda *_, **__: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "get_device_properties": lambda _=None: H100,
            "get_device_capability": lambda _=None: (H100.major, H100.minor),
            "get_rng_state": lambda *_: torch.empty(1),
            "set_rng_state": lambda *_: None,
            "synchronize": lambda _=None: None,
            "_exchange_device": lambda _: 0,
            "_maybe_exchange_device": lambda _: 0,
        },
        CudaInterface: {
            "is_available": staticmethod(lambda: True),
            "current_device": staticmethod(lambda: 0),
            "get_device_properties": staticmethod(lambda _=None: H100),
            "get_compute_capability": staticmethod(lambda _=None: 90),
            "synchronize": staticmethod(lambda _=None: None),
        },
        CudaInterface.Worker: {
            "current_device": staticmethod(lambda: 0),
            "get_device_properties": staticmethod(lambda _=None: H100),
        },
        triton_helpers: {"set_driver_to_gpu": lambda: None},
        triton.runtime.driver: {"_active": driver},
        CachingAutotuner: {"_precompile_config": keep, "_make_launchers": lambda _: None},
    }
    options = {"compile_threads": 1, "fx_graph_cache": False, "use_static_cuda_launcher": False}
    with config.patch(**options):
        patches = [mock.patch.multiple(each, **values) for each, values in answers.items()]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()
