"""The characteristic function against its formula: on the CPU, and the GPU kernels in Triton's interpreter."""

import os
import subprocess
import sys
import warnings
from types import ModuleType

import pytest
import torch

from lewm.regularizers import sigreg
from lewm.regularizers.sigreg import characteristic_function as module
from lewm.regularizers.sigreg.characteristic_function import Grid, characteristic_function
from tests import LAST_NET_S

GRIDS = {
    "[0, 3] with 17": (0.0, 3 / 16, 16),
    "[0, 5] with 9": (0.0, 5 / 8, 8),
    "[0.2, 4] with 64": (0.2, 3.8 / 63, 64),
    "[0, 1] with 2": (0.0, 1.0, 1),
    "[0.5, 1] with 2": (0.5, 0.5, 2),
    "[0, 4] with 301": (0.0, 4 / 300, 300),
}
SHAPES = [(7, 1), (5, 9), (11, 130), (3, 300)]


def formula(x, min_knot, spacing, num_knots):
    """(M, N) -> (2, K, M), evaluated at every knot."""
    angle = ((min_knot or spacing) + spacing * torch.arange(num_knots, dtype=torch.float64))[:, None, None] * x
    return torch.stack([angle.cos().mean(-1), angle.sin().mean(-1)])


def example(shape, num_knots, scale=1.0):
    """Samples and a gradient of the means."""
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(shape, generator=generator), torch.randn(2, num_knots, shape[0], generator=generator)


def expected(x, grad_output, arguments):
    x = x.double().requires_grad_()
    means = formula(x, *arguments)
    means.backward(grad_output.double())
    return means.detach(), x.grad


def relative_error(values, wanted):
    return ((values - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("arguments", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 10.0])
def test_means_and_gradient_are_those_of_the_formula(arguments, shape, scale):
    x, grad_output = example(shape, arguments[2], scale)
    x.requires_grad_()
    means = characteristic_function(x, *arguments)
    means.backward(grad_output)
    wanted_means, wanted_grad = expected(x.detach(), grad_output, arguments)
    assert relative_error(means.detach(), wanted_means) < 1e-5
    assert relative_error(x.grad, wanted_grad) < 1e-5


@pytest.mark.parametrize("arguments", GRIDS.values(), ids=GRIDS)
def test_tiny_samples_keep_the_relative_precision_of_their_sines(arguments):
    x, _ = example((4, 50), 1, 1e-6)
    sines, wanted = characteristic_function(x, *arguments)[1], formula(x.double(), *arguments)[1]
    # Of 50 sines, each rounded a few times; a recurrence that subtracts neighbours is off by 5e-4 at 301 knots.
    torch.testing.assert_close(sines.double(), wanted, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("arguments", GRIDS.values(), ids=GRIDS)
def test_float64_is_computed_in_float64(arguments):
    x, grad_output = example((5, 9), arguments[2])
    x, grad_output = x.double().requires_grad_(), grad_output.double()
    means = characteristic_function(x, *arguments)
    means.backward(grad_output)
    wanted_means, wanted_grad = expected(x.detach(), grad_output, arguments)
    assert relative_error(means.detach(), wanted_means) < 1e-12
    assert relative_error(x.grad, wanted_grad) < 1e-12


def test_the_backward_pass_keeps_only_the_samples():
    kept = []
    x = torch.randn(40, 30, requires_grad=True, generator=torch.Generator().manual_seed(0))
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        characteristic_function(x, 0.0, 0.1, 17)
    assert [tensor.data_ptr() for tensor in kept] == [x.data_ptr()]


def test_it_does_not_matter_how_much_is_worked_on_at_once(monkeypatch):
    x, grad_output = example((50, 20), 16)
    results = []
    for chunk in (2**15, 60, 1):
        monkeypatch.setitem(module._CHUNK, "cpu", chunk)
        samples = x.clone().requires_grad_()
        means = characteristic_function(samples, 0.0, 0.2, 16)
        means.backward(grad_output)
        results.append((means.detach(), samples.grad))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


@pytest.mark.parametrize("min_knot", [0.0, 0.3])
@pytest.mark.parametrize("num_knots", range(1, 70))
def test_a_grid_has_room_for_its_knots_and_needs_few_exponentials(min_knot, num_knots):
    grid = Grid.of(min_knot, 0.1, num_knots)
    room = grid.num_coarse * (2 * grid.num_fine + 1) - (grid.num_fine + 1) * grid.around_zero
    assert room >= num_knots
    assert grid.num_coarse + grid.num_fine <= 2.2 * num_knots**0.5 + 1


IN_THE_INTERPRETER = """
import sys
import torch
from lewm.regularizers.sigreg import characteristic_function_triton as kernels

results = []
for x, grad_output, first, spacing in torch.load(sys.argv[1]):
    means = kernels.forward(x, first, spacing, grad_output.shape[1])
    results.append((means, kernels.backward(x, first, spacing, grad_output)))
torch.save(results, sys.argv[2])
"""

# Rows of 300 samples are summed in two pieces; no size here is a multiple of a block.
INTERPRETED = [
    ("[0, 3] with 17", (7, 1)),
    ("[0, 3] with 17", (5, 9)),
    ("[0, 3] with 17", (3, 300)),
    ("[0, 5] with 9", (11, 130)),
    ("[0.2, 4] with 64", (3, 300)),
    ("[0, 1] with 2", (5, 9)),
    ("[0.5, 1] with 2", (5, 9)),
]


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """Means and gradients of the GPU kernels, run by Triton's interpreter, which is chosen when Triton is imported."""
    pytest.importorskip("triton")
    folder = tmp_path_factory.mktemp("triton")
    cases = []
    for name, shape in INTERPRETED:
        min_knot, spacing, num_knots = GRIDS[name]
        cases.append((*example(shape, num_knots, 2.0), min_knot or spacing, spacing))
    torch.save(cases, folder / "cases.pt")
    command = [sys.executable, "-c", IN_THE_INTERPRETER, folder / "cases.pt", folder / "results.pt"]
    subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, check=True, timeout=LAST_NET_S)
    return torch.load(folder / "results.pt")


@pytest.mark.parametrize("case", range(len(INTERPRETED)), ids=map(str, INTERPRETED))
def test_the_gpu_kernels_compute_the_formula(interpreted, case):
    name, shape = INTERPRETED[case]
    arguments = GRIDS[name]
    x, grad_output = example(shape, arguments[2], 2.0)
    wanted_means, wanted_grad = expected(x, grad_output, arguments)
    means, grad = interpreted[case]
    assert relative_error(means, wanted_means) < 1e-5
    assert relative_error(grad, wanted_grad) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("num_samples", [1, 128, 2048])
@pytest.mark.parametrize("starts_with_step", [True, False])
@pytest.mark.parametrize("num_knots", [16, 64])
def test_the_gpu_kernels_compile_for_hopper(num_knots, starts_with_step, num_samples):
    pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from lewm.regularizers.sigreg import characteristic_function_triton as kernels

    _, block_rows, block_samples = kernels._tiling(num_samples)
    constants = {"starts_with_step": starts_with_step, "num_knots": num_knots}
    constants |= {"block_rows": block_rows, "block_samples": block_samples}
    for kernel in (kernels._forward_kernel, kernels._backward_kernel):
        types = {name: "*fp32" for name in kernel.arg_names if name.endswith("pointer")}
        types |= {"num_rows": "i32", "num_samples": "i32", "first": "fp32", "spacing": "fp32"}
        source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constants)
        binary = compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
        assert ".target sm_90" in binary.asm["ptx"]
        assert binary.asm["cubin"].startswith(b"\x7fELF")


KERNELS = "lewm.regularizers.sigreg.characteristic_function_triton"


def kernels_that_raise(error):
    """A module of kernels that Triton fails to compile."""

    def forward(*_):
        raise error

    kernels = ModuleType(KERNELS)
    kernels.forward = forward
    return kernels


class ZerosOnTheCPU:
    """torch, but what is made for a GPU is on the CPU."""

    def __getattr__(self, name):
        return getattr(torch, name)

    def zeros(self, *size, device):
        return torch.zeros(*size)


WITHOUT_KERNELS = {
    "no Triton": (None, ["pip install triton"]),
    "no compiler": (
        RuntimeError(
            "Failed to find C compiler. Please specify via CC environment variable or set triton.knobs.build.impl."
        ),
        ["finds no C compiler", "apt-get install gcc", "set CC"],
    ),
    "a compiler that fails": (
        subprocess.CalledProcessError(1, ["/usr/bin/gcc", "main.c", "-O3"]),
        ["/usr/bin/gcc", "status 1", "python3-dev"],
    ),
    "another error": (ValueError("arch 5.2\nis unknown"), ["arch 5.2 is unknown"]),
}


@pytest.mark.parametrize(("error", "words"), WITHOUT_KERNELS.values(), ids=WITHOUT_KERNELS)
def test_without_working_kernels_one_line_says_what_is_missing_and_torch_computes(monkeypatch, error, words):
    monkeypatch.delattr(sigreg, "characteristic_function_triton", raising=False)  # if it has been imported
    if error is None:
        monkeypatch.setitem(sys.modules, KERNELS, None)  # importing it is an ImportError
    else:
        monkeypatch.setitem(sys.modules, KERNELS, kernels_that_raise(error))
        monkeypatch.setattr(sigreg, "characteristic_function_triton", sys.modules[KERNELS], raising=False)
    monkeypatch.setattr(module, "torch", ZerosOnTheCPU())
    with pytest.warns(UserWarning, match="without its GPU kernels, slower") as warned:
        assert module._gpu_kernels.__wrapped__() is None
    assert len(warned) == 1
    line = str(warned[0].message)
    assert "\n" not in line and len(line) < 320
    for word in words:
        assert word in line


def test_triton_says_what_is_recognized_where_there_is_no_compiler(monkeypatch):
    build = pytest.importorskip("triton.runtime.build")
    find = getattr(build, "_find_compiler", None)
    if find is None:
        pytest.skip("this Triton looks for a compiler elsewhere")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RuntimeError) as raised:
        find.__wrapped__("c")
    assert "finds no C compiler" in module._reason(raised.value)


@pytest.mark.gpu
@pytest.mark.parametrize("arguments", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("shape", [*SHAPES, (4096, 128), (100, 2048)])
def test_a_gpu_computes_the_formula_and_the_same_at_each_call(arguments, shape):
    x, grad_output = example(shape, arguments[2])
    wanted_means, wanted_grad = expected(x, grad_output, arguments)
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of kernels that cannot be used
        for _ in range(2):
            samples = x.cuda().requires_grad_()
            means = characteristic_function(samples, *arguments)
            means.backward(grad_output.cuda())
            results.append((means.detach().cpu(), samples.grad.cpu()))
    assert relative_error(results[0][0], wanted_means) < 1e-5
    assert relative_error(results[0][1], wanted_grad) < 1e-5
    assert all(map(torch.equal, *results))
