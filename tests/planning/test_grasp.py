import pytest
import torch

from lewm.planning.costs import GOAL_COSTS
from lewm.planning.gradient import Gradient
from lewm.planning.grasp import GRASP
from lewm.planning.rollout_cost import action_cost
from tests.fakes import AdditiveModel, FoldedRollout
from tests.planning.quadratics import generators

BOUNDS = {"low": torch.full((2,), -1.0), "high": torch.full((2,), 1.0)}
ADAM = {"num_samples": 3, "num_iterations": 60, "std": 0.1, "noise_exponent": 0.0, "learning_rate": 0.05}
SMALL = ADAM | {"state_learning_rate": 0.05, "state_std": 0.0, "state_gradient": 1.0, "residual_weight": 1.0}
SMALL |= {"sync_every": 4}
GOALS = torch.tensor([[1.5, -1.0], [0.5, 2.0]])


class Walk:
    """Embeddings that add up the actions, from 0; the squared distance of the last one to a goal.

    Attributes:
      calls: the names of the methods, in the order in which they were called.
      last: (B, N, H, A) the candidates rolled out last.
    """

    def __init__(self, goals):
        self.goals, self.calls = goals, []

    def __call__(self, candidates):
        return self.judge(self.imagine(candidates), candidates)

    def imagine(self, candidates):
        self.calls.append("imagine")
        self.last = candidates
        return candidates.cumsum(2)

    def predict(self, candidates, z):
        self.calls.append("predict")
        return torch.cat([torch.zeros_like(z[:, :, :1]), z[:, :, :-1]], dim=2) + candidates

    def judge(self, z_next, candidates):
        return (z_next[:, :, -1] - self.goals[:, None]).square().sum(-1)


def search(cost, horizon=3, on_iteration=None, **changes):
    planner = GRASP(**BOUNDS, **SMALL | changes)
    return planner(cost, torch.zeros(2, horizon, 2), generator=generators(0, 1), on_iteration=on_iteration)


def test_it_reaches_a_goal_that_takes_all_the_steps():
    plan = search(Walk(GOALS))
    assert (plan.actions.sum(1) - GOALS).abs().max() < 0.1


def test_synchronized_in_every_iteration_it_is_adam_on_the_actions():
    plan = search(Walk(GOALS), sync_every=1)
    planner = Gradient(**BOUNDS, **ADAM)
    plain = planner(Walk(GOALS), torch.zeros(2, 3, 2), generator=generators(0, 1))
    torch.testing.assert_close(plan.actions, plain.actions)


def test_between_the_synchronized_iterations_nothing_is_rolled_out():
    cost = Walk(GOALS)
    search(cost, num_iterations=6, sync_every=3)
    sync, lifted, end = ["imagine", "imagine"], ["predict", "predict"], ["imagine"]
    assert cost.calls == sync + lifted + sync + lifted + end


def test_virtual_embeddings_that_are_never_used_are_not_rolled_out():
    cost = Walk(GOALS)
    search(cost, num_iterations=6, sync_every=1)
    assert cost.calls == 6 * ["imagine"] + ["imagine"]


class Watched(Walk):
    """A walk that notes, call by call, how far the last virtual embedding but one is from where the actions lead."""

    def __init__(self, goals):
        super().__init__(goals)
        self.gaps = []

    def predict(self, candidates, z):
        self.gaps.append((z - candidates.cumsum(2)).detach()[:, :, -2])
        return super().predict(candidates, z)


def test_after_a_synchronization_the_virtual_embeddings_start_without_the_momentum_of_the_old_ones():
    """Adam's first step has the learning rate's size in every number, whatever the gradient; with momentum it has not.

    The actions stand still, so that the gap is what the step of the virtual embeddings has made of it.
    """
    cost = Watched(GOALS)
    search(cost, num_iterations=9, sync_every=3, learning_rate=1e-12)
    first_steps = torch.stack(cost.gaps[1::2])
    torch.testing.assert_close(first_steps.abs(), torch.full_like(first_steps, SMALL["state_learning_rate"]))


@pytest.mark.parametrize(("state_gradient", "moving"), [(0.0, [False, False, True]), (1.0, [True, True, True])])
def test_the_goal_reaches_earlier_actions_through_the_gradient_to_virtual_embeddings(state_gradient, moving):
    cost = Walk(torch.zeros(2, 2))  # at first, where the search starts: the one step on the true cost stays there

    def give_goals(iteration):
        cost.goals = GOALS

    changes = {"num_samples": 1, "sync_every": 1000, "state_gradient": state_gradient}
    search(cost, on_iteration=give_goals, **changes)
    assert (cost.last[:, 0] != 0).all(-1).tolist() == [moving, moving]


def test_noise_on_the_virtual_embeddings_is_a_function_of_the_generators():
    quiet, noisy, again = (search(Walk(GOALS), state_std=state_std).actions for state_std in (0.0, 0.2, 0.2))
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, quiet)


def test_between_true_costs_it_reports_the_lifted_ones_and_the_best_true_one():
    seen = []
    search(Walk(GOALS), on_iteration=seen.append, num_iterations=8, sync_every=4)
    assert torch.equal(seen[0].best_cost, seen[0].costs.amin(1))
    assert torch.equal(seen[3].best_cost, seen[0].best_cost)
    assert (seen[4].best_cost <= seen[3].best_cost).all()


def test_it_plans_with_the_cost_of_a_world_model():
    model = AdditiveModel()
    rollout = FoldedRollout(model, window=1, batch_size=100)
    z, no_actions = torch.zeros(2, 1, 2), torch.zeros(2, 0, 2)
    cost = action_cost(model, rollout, GOAL_COSTS["last_distance"](), z, no_actions, GOALS)
    torch.testing.assert_close(search(cost).actions, search(Walk(GOALS)).actions)


def test_a_cost_that_does_not_open_up_what_it_imagines_is_one_clear_error():
    with pytest.raises(ValueError, match="grasp needs a cost with imagine, predict and judge"):
        search(lambda candidates: candidates.square().sum((2, 3)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("learning_rate", 0.0), ("state_learning_rate", -1.0), ("residual_weight", 0.0), ("state_std", -0.1)),
        *(("state_gradient", 1.5), ("sync_every", 0)),
    ],
)
def test_numbers_that_make_no_sense_are_refused(key, value):
    with pytest.raises(ValueError, match=f"{key}={value} must"):
        GRASP(**BOUNDS, **SMALL | {key: value})
