"""Planning on a GPU: every planner finds with replayed rollouts what it finds with plain ones."""

import pytest
import torch

from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.graphed import GraphedRollout
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
