import pytest
import torch

from lewm.planning.costs import GOAL_COSTS, action_cost, last_distance, mean_distance
from tests.fakes import AdditiveModel

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


def cost_of(situation, goal_cost, model=None, batch_size=1000):
    z, past, z_goal, candidates = situation
    model = model or AdditiveModel()
    return action_cost(model, goal_cost, z, past, z_goal, context=CONTEXT, batch_size=batch_size)(candidates)


def test_last_distance_is_that_of_the_last_embedding():
    z_next = torch.tensor([[[[9.0, 9.0], [1.0, 2.0]]]])
    assert last_distance(z_next, torch.tensor([[4.0, 6.0]])).tolist() == [[25.0]]


def test_mean_distance_is_the_mean_over_the_horizon():
    z_next = torch.tensor([[[[4.0, 7.0], [1.0, 2.0]]]])
    assert mean_distance(z_next, torch.tensor([[4.0, 6.0]])).tolist() == [[13.0]]


@pytest.mark.parametrize("goal_cost", GOAL_COSTS.values(), ids=GOAL_COSTS)
def test_every_goal_cost_is_least_at_the_goal(goal_cost):
    z_goal = torch.randn(EPISODES, WIDTH, generator=torch.Generator().manual_seed(0))
    at_goal = z_goal[:, None, None].expand(EPISODES, CANDIDATES, HORIZON, WIDTH)
    assert goal_cost(at_goal, z_goal).shape == (EPISODES, CANDIDATES)
    assert (goal_cost(at_goal, z_goal) < goal_cost(at_goal + 0.1, z_goal)).all()


def test_the_cost_of_a_candidate_is_that_of_what_its_own_episode_imagines(situation):
    z, _, z_goal, candidates = situation
    costs = cost_of(situation, last_distance)
    for b in range(EPISODES):
        for n in range(CANDIDATES):
            end = z[b, -1] + candidates[b, n].sum(0)
            assert costs[b, n].item() == pytest.approx((end - z_goal[b]).square().sum().item(), rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 7, 10])
def test_at_most_batch_size_sequences_are_imagined_at_once_with_the_same_costs(situation, batch_size):
    model = AdditiveModel()
    costs = cost_of(situation, mean_distance, model, batch_size)
    assert model.max_sequences == batch_size
    torch.testing.assert_close(costs, cost_of(situation, mean_distance))
