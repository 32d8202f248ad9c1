"""A recorded rollout is the rollout. What it does without a GPU is checked, too: which shapes are recorded when."""

import pytest
import torch

from lewm.config import build
from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.graphed import MAX_GRAPHS, NUM_SIZES, Graph, GraphedRollout, padded_size
from lewm.planning import PLANNERS
from tests.models.rollout.test_cached import ACTION_DIM, CONTEXT, EPISODES, make_model, situation
from tests.registries import PLANNER_CONFIGS

HORIZON = 2


class Replay:
    """Stands for a CUDA graph: computes what it was recorded of, from its inputs into its output."""

    def __init__(self, rollout, inputs, output):
        self.rollout, self.inputs, self.output = rollout, inputs, output

    def replay(self):
        z, past_actions, candidates = self.inputs
        self.output.copy_(self.rollout(z, past_actions)(candidates))


class Recording(GraphedRollout):
    """A GraphedRollout that needs no GPU and counts what it records."""

    num_recorded = 0

    def record(self, inputs):
        self.num_recorded += 1
        inputs = tuple(torch.full_like(tensor, torch.nan) for tensor in inputs)
        output = self.rollout(*inputs[:2])(inputs[2])
        return Graph(Replay(self.rollout, inputs, output), inputs, output)


def plan(rollout, name, z, past):
    """What a configured planner finds, with the rollout's last embedding to be small."""
    bound = torch.ones(ACTION_DIM, device=z.device)
    planner = build(PLANNERS, PLANNER_CONFIGS[name], "planner", low=-bound, high=bound)
    generators = [torch.Generator(z.device).manual_seed(seed) for seed in range(EPISODES)]
    imagine, mean = rollout(z, past), torch.zeros(EPISODES, HORIZON, ACTION_DIM, device=z.device)
    return planner(lambda candidates: imagine(candidates)[:, :, -1].square().sum(-1), mean, generator=generators)


WITH_ELITES = [name for name, config in PLANNER_CONFIGS.items() if "num_elites" in config]


@pytest.mark.parametrize("name", WITH_ELITES)
def test_from_the_third_plan_on_nothing_is_recorded(name):
    (z, past, _), rollout = situation(1, HORIZON), Recording(CachedRollout(make_model(), CONTEXT))
    plan(rollout, name, z, past)
    plan(rollout, name, z, past)
    num_recorded = rollout.num_recorded
    assert 1 < num_recorded <= NUM_SIZES
    plan(rollout, name, z + 1, past)
    assert rollout.num_recorded == num_recorded


class Walk:
    """A rollout without matrix products, whose rounding would depend on how many candidates there are."""

    window, batch_size = CONTEXT, None

    def current_weights(self):
        return self

    def __call__(self, z, past_actions):
        return lambda candidates: z[:, -1, None, None, :ACTION_DIM] + candidates.cumsum(2)


@pytest.mark.parametrize("name", WITH_ELITES)
def test_padding_a_population_does_not_change_a_plan(name):
    (z, past, _), rollout = situation(2, HORIZON), Recording(Walk())
    for shift in (-0.3, 0.0, 0.3):  # eager and recorded, recorded, replayed
        padded, exact = (plan(each, name, z + shift, past) for each in (rollout, rollout.rollout))
        assert torch.equal(padded.actions, exact.actions)
        assert torch.equal(padded.cost, exact.cost)
    assert rollout.num_recorded > 1


@pytest.mark.parametrize("name", WITH_ELITES)
def test_plans_of_padded_populations_cost_what_those_of_the_rollout_do(name):
    (z, past, _), rollout = situation(2, HORIZON), Recording(CachedRollout(make_model(), CONTEXT))
    for shift in range(3):
        padded, exact = (plan(each, name, z + shift, past) for each in (rollout, rollout.rollout))
        torch.testing.assert_close(padded.cost, exact.cost)


@torch.no_grad()
def test_a_shape_that_comes_once_is_not_recorded():
    (z, past, candidates), rollout = situation(1, HORIZON), Recording(CachedRollout(make_model(), CONTEXT))
    rollout(z, past)(candidates)
    rollout(z[:1], past[:1])(candidates[:1])
    rollout(z, past)(candidates[:, :, :1])
    assert rollout.num_recorded == 0
    for _ in range(3):
        torch.testing.assert_close(rollout(z, past)(candidates), rollout.rollout(z, past)(candidates))
    assert rollout.num_recorded == 1


@torch.no_grad()
def test_fewer_candidates_go_through_a_graph_for_more_and_come_back_alone():
    (z, past, _), rollout = situation(1, HORIZON), Recording(CachedRollout(make_model(), CONTEXT))
    candidates = torch.randn(EPISODES, 12, HORIZON, ACTION_DIM, generator=torch.Generator().manual_seed(0))
    for num in (12, 12, 7, 9, 6, 6, 5, 4, 3, 3, 1, 2):
        found = rollout(z, past)(candidates[:, :num])
        torch.testing.assert_close(found, rollout.rollout(z, past)(candidates[:, :num]))
    assert sorted(graph.inputs[2].shape[1] for graph in rollout._graphs.values()) == [3, 6, 12]


def test_sizes_are_the_largest_its_half_and_its_quarter():
    assert [padded_size(num, 80) for num in (80, 64, 41, 40, 26, 20, 12, 1)] == [80, 80, 80, 40, 40, 20, 20, 20]
    assert [padded_size(num, 7) for num in range(1, 8)] == [2, 2, 4, 4, 7, 7, 7]
    assert padded_size(1, 1) == 1


@torch.no_grad()
def test_what_was_recorded_of_other_weights_is_not_replayed():
    model, (z, past, candidates) = make_model(), situation(1, HORIZON)
    rollout = Recording(CachedRollout(model, CONTEXT))
    for _ in range(2):
        rollout(z, past)(candidates)
    model.load_state_dict(make_model(seed=1).state_dict())
    torch.testing.assert_close(rollout(z, past)(candidates), rollout.rollout(z, past)(candidates))
    assert rollout.num_recorded == 2
    assert len(rollout._graphs) == 1


@torch.no_grad()
def test_of_many_shapes_those_used_last_are_kept():
    (z, past, _), rollout = situation(1, 1), Recording(CachedRollout(make_model(), CONTEXT))
    shapes = [torch.zeros(EPISODES, 1, horizon, ACTION_DIM) for horizon in range(1, MAX_GRAPHS + 2)]
    for candidates in (*shapes, *shapes[:-1], shapes[0], shapes[-1]):
        rollout(z, past)(candidates)
    assert rollout.num_recorded == len(shapes)
    rollout(z, past)(shapes[0])
    assert rollout.num_recorded == len(shapes)
    rollout(z, past)(shapes[1])
    assert rollout.num_recorded == len(shapes) + 1


def test_candidates_that_require_a_gradient_are_not_recorded():
    model, (z, past, candidates) = make_model(), situation(2, 3)
    graphed = GraphedRollout(CachedRollout(model, CONTEXT))
    assert graphed(z, past)(candidates.requires_grad_()).requires_grad
    assert not graphed._graphs


@pytest.mark.gpu
def test_a_replay_is_the_rollout_for_every_shape_and_after_the_weights_changed():
    model = make_model().cuda()
    rollout = CachedRollout(model, CONTEXT)
    graphed = GraphedRollout(rollout)
    shapes = [(num_frames, horizon) for num_frames in (1, 2, 3) for horizon in (1, 2, 4)]
    for seed in (0, 1):
        model.load_state_dict(make_model(seed=seed).state_dict())
        for num_frames, horizon in (*shapes, *reversed(shapes), *shapes):
            z, past, candidates = (tensor.cuda() for tensor in situation(num_frames, horizon))
            with torch.no_grad():
                torch.testing.assert_close(graphed(z, past)(candidates), rollout(z, past)(candidates))
        assert len(graphed._graphs) == len(shapes)
