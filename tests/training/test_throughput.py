"""Operations are those of a count by hand, and the rate of a device is the median of its matrix products."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from lewm.training import throughput
from lewm.training.throughput import count_flops, matrix_flops_per_s


def test_a_matrix_product_makes_two_operations_for_each_pair_of_numbers_and_twice_as_many_backward():
    a, b = (torch.randn(size, requires_grad=True) for size in ((3, 5), (5, 7)))
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert count_flops(lambda: (a @ b).sum().backward()) == 3 * 2 * 3 * 5 * 7


def test_attention_computes_its_scores_again_in_the_backward_pass():
    batch, heads, length, dim = 2, 3, 11, 8
    q, k, v = (torch.randn(batch, heads, length, dim, requires_grad=True) for _ in range(3))
    product = 2 * batch * heads * length * length * dim
    assert count_flops(lambda: F.scaled_dot_product_attention(q, k, v)) == 2 * product
    assert count_flops(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward()) == (2 + 5) * product


@pytest.fixture
def products(monkeypatch):
    """Products of small matrices that last 100, 1, 5, 2, 4 and 3 seconds, and the seconds of a clock that says so."""
    seconds = [0, 100, 0, 1, 0, 5, 0, 2, 0, 4, 0, 3]
    clock = iter(itertools.accumulate(seconds))
    monkeypatch.setattr(throughput, "now", lambda device: next(clock))
    monkeypatch.setitem(throughput._SIZE, "cpu", 8)
    matrix_flops_per_s.cache_clear()
    yield clock
    matrix_flops_per_s.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rate_is_that_of_the_median_product_without_the_first(products, dtype):
    assert matrix_flops_per_s(torch.device("cpu"), dtype) == pytest.approx(2 * 8**3 / 3)
    assert list(products) == []


@pytest.mark.usefixtures("products")
def test_a_rate_draws_no_numbers_of_the_training():
    before = torch.get_rng_state()
    matrix_flops_per_s(torch.device("cpu"), torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
