"""Compiled parts of a model become machine code for Hopper cards (sm_90), on a machine without one."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lewm.clip import Clip
from lewm.training.compiling import compile_parts
from lewm.training.model_spec import build_model
from lewm.training.objective import build_objective
from tests.hopper import SHARED_BYTES, hopper_backend
from tests.registries import MODEL_CONFIGS, read_group

FRAME_SIZES = {"paper": 112, "micro": 64}
ACTION_DIM = 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what torch says as it compiles
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FRAME_SIZES)
def test_a_compiled_step_becomes_machine_code_for_hopper(monkeypatch, name, precision):
    torch._dynamo.reset()  # what other sizes compiled in this process
    kernels, original = [], torch.compile
    backend = hopper_backend(kernels)
    monkeypatch.setattr(torch, "compile", lambda function: original(function, backend=backend))
    torch.manual_seed(0)
    size, config = FRAME_SIZES[name], MODEL_CONFIGS[name]
    model = build_model(config, size, ACTION_DIM)
    objective = build_objective(model, read_group("regularizer")["sigreg"])
    compile_parts(model)
    frames = torch.randint(256, (2, 4, 3, size, size), dtype=torch.uint8)
    clip = Clip(frames, torch.randn(2, 3, ACTION_DIM), torch.zeros(2, 4, 2))
    # Of the CPU's attention there are other operators than of the card's; neither is Inductor's work.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", precision, enabled=precision is torch.bfloat16):
        loss = objective(clip, torch.Generator().manual_seed(0))[0].total
    forward = len(kernels)
    loss.backward()
    assert min(forward, len(kernels) - forward) >= 10
    for kernel in kernels:
        assert ".target sm_90" in kernel.asm["ptx"]
        assert kernel.asm["cubin"].startswith(b"\x7fELF")
        assert kernel.metadata.shared <= SHARED_BYTES
