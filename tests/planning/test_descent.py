import pytest
import torch

from lewm.planning.descent import Adam, gradients

START = torch.tensor([[[1.0, -2.0], [3.0, 0.5]]])  # (B, N, A)


def test_a_candidate_that_is_forgotten_goes_on_as_if_it_began_here():
    adam, fresh = Adam(START, 0.1), Adam(START, 0.1)
    for _ in range(3):
        adam.step(START, torch.ones_like(START))
    adam.forget(torch.tensor([[True, False]]))
    forgotten, remembered = adam.step(START, -START)[0]
    expected = fresh.step(START, -START)[0]
    torch.testing.assert_close(forgotten, expected[0])
    assert not torch.allclose(remembered, expected[1])


def test_gradients_leave_the_variables_alone():
    gradients(lambda variable: variable.square().sum(-1), START)
    assert not START.requires_grad and START.grad is None


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_has_no_gradient(value):
    def cost(variable):
        factor = torch.tensor([value, 1.0])  # of the first candidate and its gradient
        return (variable.square() * factor[:, None]).sum(-1)

    costs, (slope,) = gradients(cost, START)
    assert costs[0].tolist() == [torch.inf, 9.25]
    torch.testing.assert_close(slope[0], torch.tensor([[0.0, 0.0], [6.0, 1.0]]))
