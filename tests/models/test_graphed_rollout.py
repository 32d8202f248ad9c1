"""A recorded rollout is the rollout. What it does without a GPU is checked, too: nothing."""

import pytest
import torch

from lewm.models.cached_rollout import CachedRollout
from lewm.models.graphed_rollout import MAX_GRAPHS, GraphedRollout
from tests.models.test_cached_rollout import CONTEXT, make_model, situation


def test_candidates_that_require_a_gradient_are_not_recorded():
    model, (z, past, candidates) = make_model(), situation(2, 3)
    graphed = GraphedRollout(CachedRollout(model, CONTEXT))
    assert graphed(z, past)(candidates.requires_grad_()).requires_grad
    assert not graphed._graphs


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_replay_is_the_rollout_for_every_shape_and_after_the_weights_changed():
    model = make_model().cuda()
    rollout = CachedRollout(model, CONTEXT)
    graphed = GraphedRollout(rollout)
    for seed in (0, 1):
        model.load_state_dict(make_model(seed=seed).state_dict())
        for num_frames in (1, 2, 3):
            for horizon in (1, 2, 4, 1):
                z, past, candidates = (tensor.cuda() for tensor in situation(num_frames, horizon))
                with torch.no_grad():
                    torch.testing.assert_close(graphed(z, past)(candidates), rollout(z, past)(candidates))
    assert len(graphed._graphs) == MAX_GRAPHS
