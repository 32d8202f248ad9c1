import pytest
import torch
import torch.nn.functional as F

from lewm.models.rollout.packed_linear import PackedLinear


def example(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(24, 16, generator=generator) / 4, torch.randn(24, generator=generator)
    return torch.randn(5, 7, 16, generator=generator), weight, bias, dtype


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_a_linear_map_with_and_without_a_gradient(enabled, gelu, has_bias):
    x, weight, bias, dtype = example()
    bias = bias if has_bias else None
    expected = F.linear(x, weight, bias)
    expected = F.gelu(expected) if gelu else expected
    with torch.set_grad_enabled(enabled):
        torch.testing.assert_close(PackedLinear(weight, bias, dtype)(x, gelu), expected, rtol=1e-5, atol=1e-5)


def test_it_has_a_gradient_in_its_input():
    x, weight, bias, dtype = example()
    x.requires_grad_()
    PackedLinear(weight, bias, dtype)(x).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand_as(x))


def test_bfloat16_stays_bfloat16():
    x, weight, bias, dtype = example(torch.bfloat16)
    with torch.no_grad():
        y = PackedLinear(weight, bias, dtype)(x.to(dtype))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), F.linear(x, weight, bias), rtol=0.03, atol=0.05)


def test_it_keeps_weights_of_its_own():
    x, weight, bias, dtype = example()
    linear, expected = PackedLinear(weight, bias, dtype), F.linear(x, weight, bias)
    weight.zero_()
    torch.testing.assert_close(linear(x), expected)
