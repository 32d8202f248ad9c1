import math

import pytest
import torch

from lewm.regularizers.gaussianity import effective_rank, spread


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_isotropic_data_have_full_effective_rank(scale):
    z = scale * torch.cat([torch.eye(12), -torch.eye(12)]) + 5 * scale
    assert effective_rank(z).item() == pytest.approx(12, rel=1e-3)


def test_gaussian_data_have_nearly_full_effective_rank():
    z = torch.randn(4000, 12, generator=torch.Generator().manual_seed(0))
    assert 11.9 < effective_rank(z) <= 12


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_data_on_a_few_axes_have_their_number_as_effective_rank(rank):
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(12, rank, generator=generator)).Q
    z = torch.cat([torch.eye(rank), -torch.eye(rank)]) @ axes.T
    assert effective_rank(z).item() == pytest.approx(rank, rel=1e-3)


@pytest.mark.parametrize("row", [torch.zeros(4), torch.full((4,), 3.0), torch.tensor([0.1, -1 / 3, 7.7, 1e3])])
@pytest.mark.parametrize("num_samples", [10, 1000])
def test_constant_data_have_effective_rank_0(row, num_samples):
    assert effective_rank(row.expand(num_samples, -1)) == 0


def test_one_dimension_has_effective_rank_1():
    assert effective_rank(torch.randn(10, 1, generator=torch.Generator().manual_seed(0))) == 1


def test_effective_rank_is_the_exponential_of_the_entropy_of_the_spectrum():
    z = torch.cat([torch.eye(3), -torch.eye(3)]) * torch.tensor([1.0, 1.0, 2.0])  # variances 1 : 1 : 4
    entropy = -2 * math.log(1 / 6) / 6 - 4 * math.log(4 / 6) / 6
    assert effective_rank(z).item() == pytest.approx(math.exp(entropy), rel=1e-4)


def test_spread_tells_the_smallest_and_the_median_standard_deviation():
    z = torch.randn(20_000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.1, 2.0, 5.0, 1.0])
    numbers = spread(z)
    assert numbers["std_min"] == pytest.approx(0.1, rel=0.05)
    assert numbers["std_median"] == pytest.approx(2.0, rel=0.05)
    assert numbers["effective_rank"] == pytest.approx(effective_rank(z).item())
