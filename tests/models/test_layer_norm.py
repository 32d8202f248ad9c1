"""Layer normalization stays in the precision of autocast, with statistics in float32."""

import pytest
import torch
from torch import nn

from lewm.models.layer_norm import LayerNorm, ToAutocast, layer_norm
from tests.models.test_vit import encoder, frames


@pytest.fixture
def x():
    return 5 + torch.randn(64, 32, generator=torch.Generator().manual_seed(0))


def norms():
    torch.manual_seed(0)
    ours, torchs = LayerNorm(32, eps=1e-12), nn.LayerNorm(32, eps=1e-12)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def test_in_float32_it_is_torchs(x):
    ours, torchs = norms()
    assert torch.equal(ours(x), torchs(x))
    assert torch.equal(layer_norm(x, 1e-6), nn.functional.layer_norm(x, (32,), eps=1e-6))
    assert ToAutocast()(x) is x


def test_under_autocast_it_is_torchs_rounded_to_bfloat16(x):
    ours, torchs = norms()
    x = x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        actual, expected = ours(x), torchs(x)
        assert ToAutocast()(x.float()).dtype == torch.bfloat16
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual.float(), expected.float(), rtol=0.02, atol=0.02)


def test_its_statistics_are_float32():
    """In bfloat16 all of these numbers would be 1000, and their variance 0."""
    x = (1000 + torch.tensor([-4.0, 4.0]).repeat(16)).bfloat16()[None]
    with torch.autocast("cpu", torch.bfloat16):
        y = layer_norm(x, 1e-12)
    torch.testing.assert_close(y.float().abs(), torch.ones(1, 32), rtol=0.01, atol=0)


def test_gradients_under_autocast_come_to_float32_weights(x):
    ours, _ = norms()
    with torch.autocast("cpu", torch.bfloat16):
        ours(x).float().square().sum().backward()
    assert ours.weight.grad.dtype == torch.float32
    assert ours.weight.grad.abs().min() > 0


def test_the_blocks_of_an_encoder_add_in_the_precision_of_autocast():
    model, seen = encoder().eval(), []
    for block in model.vit.blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    expected = model(frames(2))
    assert set(seen) == {(torch.float32, torch.float32)}
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        actual = model(frames(2))
    assert set(seen) == {(torch.bfloat16, torch.bfloat16)}
    torch.testing.assert_close(actual.float(), expected, rtol=0.1, atol=0.1)
