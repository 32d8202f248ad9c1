"""The flow: the identity at the start, an exact inverse, and the log-determinant of autograd's Jacobian."""

import pytest
import torch
from torch import nn

from lewm.models import InvertibleFlow
from lewm.models.flow import AffineCoupling

DIMS = [2, 3, 8, 33]


def trained_flow(dim, strength=0.015, **arguments):
    """A flow with weights as after training: those that are zero at the start are drawn."""
    torch.manual_seed(0)
    flow = InvertibleFlow(dim, **arguments)
    for coupling in flow.couplings:
        for parameter in coupling.conditioner.output.parameters():
            nn.init.normal_(parameter, std=strength)
    return flow.requires_grad_(False)


def normal(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("dim", DIMS)
def test_a_new_flow_is_exactly_the_identity(dim):
    x = normal(64, dim)
    y, log_det = InvertibleFlow(dim).forward_and_log_det(x)
    assert torch.equal(y, x)
    assert torch.equal(log_det, torch.zeros(64))


@pytest.mark.parametrize("dim", [*DIMS, 192])
def test_the_inverse_undoes_twelve_trained_layers(dim):
    flow, x = trained_flow(dim, num_layers=12), normal(1000, dim)
    y = flow(x)
    assert (y - x).abs().mean() > 0.25
    assert (flow.inverse(y) - x).abs().max() < 1e-5


@pytest.mark.parametrize("dim", DIMS)
def test_forward_undoes_the_inverse(dim):
    flow, y = trained_flow(dim, num_layers=12), normal(1000, dim)
    assert (flow(flow.inverse(y)) - y).abs().max() < 1e-5


@pytest.mark.parametrize("dim", DIMS)
def test_in_float64_it_undoes_layers_that_stretch_a_thousandfold(dim):
    flow, x = trained_flow(dim, strength=0.05, num_layers=12).double(), normal(200, dim, dtype=torch.float64)
    y = flow(x)
    assert y.abs().max() > 100
    assert (flow.inverse(y) - x).abs().max() < 1e-6


@pytest.mark.parametrize("num_layers", [1, 2, 5])
@pytest.mark.parametrize("dim", [2, 3, 8])
def test_the_log_determinant_is_that_of_the_jacobian(dim, num_layers):
    flow = trained_flow(dim, strength=0.1, num_layers=num_layers).double()
    x = normal(6, dim, dtype=torch.float64)
    y, log_det = flow.forward_and_log_det(x)
    torch.testing.assert_close(y, flow(x), rtol=0, atol=0)
    jacobians = [torch.autograd.functional.jacobian(flow, row) for row in x]
    sign, expected = torch.linalg.slogdet(torch.stack(jacobians))
    assert (sign == 1).all()
    assert expected.abs().min() > 1e-3
    torch.testing.assert_close(log_det, expected)


def test_any_number_of_leading_dimensions_is_mapped_row_by_row():
    flow, x = trained_flow(5), normal(2, 3, 5)
    y, log_det = flow.forward_and_log_det(x)
    assert (y.shape, log_det.shape) == ((2, 3, 5), (2, 3))
    torch.testing.assert_close(y[1, 2], flow(x[1, 2]))
    torch.testing.assert_close(flow.inverse(y)[1, 2], x[1, 2])


@pytest.mark.parametrize("dim", DIMS)
def test_two_layers_move_every_dimension_and_each_depends_on_others(dim):
    flow = trained_flow(dim, num_layers=2, strength=0.1)
    x = normal(dim)
    jacobian = torch.autograd.functional.jacobian(flow, x)
    assert (jacobian.diagonal() != 1).all()
    assert ((jacobian - jacobian.diagonal().diag()).abs().amax(1) > 0).all()


def test_a_coupling_stretches_by_no_more_than_its_largest_scale():
    coupling = AffineCoupling(torch.tensor([0]), torch.tensor([1]), hidden_dim=4, num_layers=1, max_log_scale=2.0)
    nn.init.constant_(coupling.conditioner.output.bias, 100.0)
    assert coupling(torch.zeros(1, 2))[1].item() == pytest.approx(2.0)
    nn.init.constant_(coupling.conditioner.output.bias, -100.0)
    assert coupling(torch.zeros(1, 2))[1].item() == pytest.approx(-2.0)


def splits_of(flow):
    return [(coupling.moved.tolist(), coupling.given.tolist()) for coupling in flow.couplings]


def test_the_two_couplings_of_a_pair_move_the_two_halves():
    splits = splits_of(InvertibleFlow(7, num_layers=4))
    for first, second in (splits[:2], splits[2:]):
        assert first == second[::-1]
        assert sorted(first[0] + first[1]) == list(range(7))
    assert splits[0] != splits[2]


def test_splits_are_a_function_of_the_seed_and_not_of_the_global_generator():
    torch.manual_seed(1)
    first = splits_of(InvertibleFlow(16, seed=3))
    torch.manual_seed(2)
    assert splits_of(InvertibleFlow(16, seed=3)) == first
    assert splits_of(InvertibleFlow(16, seed=4)) != first


def test_a_state_dict_brings_weights_and_splits():
    flow, other, x = trained_flow(9, seed=1), InvertibleFlow(9, seed=2), normal(10, 9)
    other.load_state_dict(flow.state_dict())
    assert torch.equal(other(x), flow(x))
    assert torch.equal(other.inverse(x), flow.inverse(x))


def test_under_autocast_it_computes_in_float32():
    flow, x = trained_flow(8), normal(100, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = flow(x)
        assert torch.equal(flow.inverse(y), flow.inverse(flow(x)))
        assert flow(x.bfloat16()).dtype == torch.float32
    assert torch.equal(y, flow(x))


def test_it_does_not_write_into_its_argument():
    flow, x = trained_flow(6), normal(10, 6)
    before = x.clone()
    flow.inverse(flow(x))
    assert torch.equal(x, before)


def test_it_learns_the_scale_and_shift_of_its_data():
    """Maximum likelihood with the log-determinant: what is learned is a density."""
    torch.manual_seed(0)
    flow = InvertibleFlow(2, num_layers=2, hidden_dim=16, conditioner_layers=0)
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    data = normal(500, 2) * torch.tensor([0.5, 3.0]) + torch.tensor([2.0, -1.0])
    for _ in range(200):
        y, log_det = flow.forward_and_log_det(data)
        loss = (0.5 * y.square().sum(1) - log_det).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Entropy of a Gaussian in nats without log(2 pi): d/2 + sum log std.
    assert loss.item() == pytest.approx(1 + torch.log(data.std(0)).sum().item(), abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dim": 1}, ["at least 2 dimensions", "not 1"]),
        ({"dim": 4, "num_layers": 0}, ["num_layers=0"]),
        ({"dim": 4, "max_log_scale": 0.0}, ["max_log_scale=0.0"]),
        ({"dim": 4, "hidden_dim": 0}, ["hidden_dim=0"]),
        ({"dim": 4, "conditioner_layers": -1}, ["num_layers=-1"]),
    ],
)
def test_sizes_that_mean_nothing_are_refused(arguments, words):
    with pytest.raises(ValueError, match=r"must be|needs") as error:
        InvertibleFlow(**arguments)
    assert all(word in str(error.value) for word in words)
