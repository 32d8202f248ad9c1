import pytest
import torch

from lewm.planning.costs import LastDistance, MeanDistance
from lewm.planning.protocols import LiftedCost
from lewm.planning.rollout_cost import action_cost
from tests.fakes import AdditiveModel, FoldedRollout

EPISODES, CANDIDATES, CONTEXT, HORIZON, WIDTH = 2, 5, 3, 4, 2


@pytest.fixture
def situation():
    """Context embeddings that follow from past actions, a goal, and candidates."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(EPISODES, 1, WIDTH, generator=generator)
    past = torch.randn(EPISODES, CONTEXT - 1, WIDTH, generator=generator)
    z = torch.cat([first, first + past.cumsum(1)], dim=1)
    z_goal = torch.randn(EPISODES, WIDTH, generator=generator)
    return z, past, z_goal, torch.randn(EPISODES, CANDIDATES, HORIZON, WIDTH, generator=generator)


def cost_of(situation, goal_cost, model=None, batch_size=1000, window=CONTEXT):
    z, past, z_goal, _ = situation
    model = model or AdditiveModel()
    return action_cost(model, FoldedRollout(model, window, batch_size), goal_cost, z, past, z_goal)


def test_the_cost_of_a_candidate_is_that_of_what_its_own_episode_imagines(situation):
    z, _, z_goal, candidates = situation
    costs = cost_of(situation, LastDistance())(candidates)
    for b in range(EPISODES):
        for n in range(CANDIDATES):
            end = z[b, -1] + candidates[b, n].sum(0)
            assert costs[b, n].item() == pytest.approx((end - z_goal[b]).square().sum().item(), rel=1e-4)


def test_candidates_that_require_a_gradient_get_one(situation):
    candidates = situation[-1].requires_grad_()
    cost_of(situation, LastDistance())(candidates).sum().backward()
    assert (candidates.grad.abs().amax((2, 3)) > 0).all()


@pytest.mark.parametrize("enabled", [True, False])
def test_costs_have_no_gradient_where_none_is_asked_for(situation, enabled):
    with torch.set_grad_enabled(enabled):
        candidates = situation[-1].clone().requires_grad_(not enabled)
        assert not cost_of(situation, LastDistance())(candidates).requires_grad


def test_a_cost_opens_up_what_it_imagines(situation):
    cost, candidates = cost_of(situation, MeanDistance()), situation[-1]
    assert isinstance(cost, LiftedCost)
    torch.testing.assert_close(cost.judge(cost.imagine(candidates), candidates), cost(candidates))


@pytest.mark.parametrize("window", [1, 2, CONTEXT])
def test_predictions_from_what_is_imagined_are_what_is_imagined(situation, window):
    cost, candidates = cost_of(situation, MeanDistance(), window=window), situation[-1]
    imagined = cost.imagine(candidates)
    torch.testing.assert_close(cost.predict(candidates, imagined), imagined)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_at_most_batch_size_sequences_are_predicted_at_once_with_the_same_results(situation, batch_size):
    model, candidates = AdditiveModel(), situation[-1]
    z = cost_of(situation, MeanDistance()).imagine(candidates)
    predicted = cost_of(situation, MeanDistance(), model, batch_size).predict(candidates, z)
    assert model.max_sequences == batch_size
    torch.testing.assert_close(predicted, z)


def test_a_prediction_follows_the_embedding_before_it_and_no_later_one(situation):
    cost, candidates = cost_of(situation, MeanDistance(), window=1), situation[-1]
    imagined = cost.imagine(candidates)
    shift = torch.zeros_like(imagined)
    shift[:, :, 1] = 1
    torch.testing.assert_close(cost.predict(candidates, imagined + shift), imagined + shift.roll(1, dims=2))
