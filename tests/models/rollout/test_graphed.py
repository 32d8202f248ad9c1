"""A recorded rollout is the rollout. What it does without a GPU is checked, too: which shapes are recorded when."""

import pytest
import torch

from lewm.config import build
from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.graphed import MAX_GRAPHS, Graph, GraphedRollout
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


@pytest.mark.parametrize("name", [name for name, config in PLANNER_CONFIGS.items() if "num_elites" in config])
def test_from_the_second_plan_on_nothing_is_recorded(name):
    (z, past, _), rollout = situation(1, HORIZON), Recording(CachedRollout(make_model(), CONTEXT))
    plan(rollout, name, z, past)
    num_recorded = rollout.num_recorded
    assert num_recorded > 1
    again = plan(rollout, name, z + 1, past)
    assert rollout.num_recorded == num_recorded
    torch.testing.assert_close(again.actions, plan(rollout.rollout, name, z + 1, past).actions)


@torch.no_grad()
def test_what_was_recorded_of_other_weights_is_not_replayed():
    model, (z, past, candidates) = make_model(), situation(1, HORIZON)
    rollout = Recording(CachedRollout(model, CONTEXT))
    rollout(z, past)(candidates)
    model.load_state_dict(make_model(seed=1).state_dict())
    torch.testing.assert_close(rollout(z, past)(candidates), rollout.rollout(z, past)(candidates))
    assert rollout.num_recorded == 2
    assert len(rollout._graphs) == 1


@torch.no_grad()
def test_of_many_shapes_those_used_last_are_kept():
    (z, past, _), rollout = situation(1, 1), Recording(CachedRollout(make_model(), CONTEXT))
    shapes = [torch.zeros(EPISODES, num, 1, ACTION_DIM) for num in range(1, MAX_GRAPHS + 2)]
    for candidates in (*shapes[:2], *shapes[2:-1], shapes[0], shapes[-1]):
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
        for num_frames, horizon in (*shapes, *reversed(shapes)):
            z, past, candidates = (tensor.cuda() for tensor in situation(num_frames, horizon))
            with torch.no_grad():
                torch.testing.assert_close(graphed(z, past)(candidates), rollout(z, past)(candidates))
        assert len(graphed._graphs) == len(shapes)
