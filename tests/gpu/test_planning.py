"""Planning on a GPU: every planner finds with replayed rollouts what it finds with plain ones."""

import pytest
import torch

from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.folded import FoldedRollout
from lewm.models.rollout.graphed import GraphedRollout
from tests.models.rollout import test_folded as folded
from tests.models.rollout.test_cached import CONTEXT, make_model, situation
from tests.models.rollout.test_graphed import HORIZON, plan
from tests.registries import PLANNER_CONFIGS

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", [name for name, config in PLANNER_CONFIGS.items() if "num_elites" in config])
def test_a_search_with_replayed_rollouts_is_that_with_plain_ones(name):
    rollout = CachedRollout(make_model().cuda(), CONTEXT)
    z, past, _ = (tensor.cuda() for tensor in situation(1, HORIZON))
    graphed = GraphedRollout(rollout)
    plain = plan(rollout, name, z, past)
    for _ in range(3):  # recorded at the first or the second use, replayed from then on
        replayed = plan(graphed, name, z, past)
        torch.testing.assert_close(replayed.actions, plain.actions, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(replayed.cost, plain.cost, rtol=1e-4, atol=1e-4)
    assert plain.actions.std() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", folded.NAMES)
def test_a_replayed_rollout_of_another_predictor_is_the_plain_one_with_the_weights_of_now(name, precision):
    model = folded.make_model(name).cuda()
    rollout = FoldedRollout(model, 1, precision=precision)
    graphed, tolerance = GraphedRollout(rollout), {"rtol": 1e-3, "atol": 1e-3 if precision == "float32" else 2e-2}
    z, past, candidates = (tensor.cuda() for tensor in folded.situation(1, horizon=5))
    before = rollout(z, past)(candidates)
    for _ in range(3):
        torch.testing.assert_close(graphed(z, past)(candidates), before, **tolerance)
    for parameter in model.predictor.parameters():
        parameter.mul_(2)
    after = rollout(z, past)(candidates)
    assert (after - before).abs().max() > 0.1
    torch.testing.assert_close(graphed(z, past)(candidates), after, **tolerance)
