"""Proposals in a world that its model knows exactly: z' = z + a."""

import pytest
import torch

from lewm.planning.proposal import Proposal
from tests.fakes import AdditiveModel

WIDTH, MAX_ACTION = 2, 0.5
STARTS = torch.tensor([[0.0, 0.0], [1.0, -1.0], [3.0, 3.0]])
GOALS = torch.tensor([[1.7, -0.9], [1.2, 1.0], [3.0, 3.0]])
WINDOWS = (1, 3)


class StraightHead:
    """Walks straight to the goal; remembers how many frames it was shown."""

    def __init__(self):
        self.num_frames = []

    def __call__(self, z, past_actions, z_goal):
        assert past_actions.shape[1] == z.shape[1] - 1
        self.num_frames.append(z.shape[1])
        return z_goal - z[:, -1]


def propose(window=1, horizon=5, num_frames=1, model=None, head=None, rows=slice(None)):
    """A proposal after num_frames frames, and where its plan begins."""
    past = 0.1 * torch.ones(len(STARTS), num_frames - 1, WIDTH)
    z = torch.cat([STARTS[:, None], STARTS[:, None] + past.cumsum(1)], dim=1)
    bound = torch.full((WIDTH,), MAX_ACTION)
    proposal = Proposal(model or AdditiveModel(), head or StraightHead(), window, -bound, bound)
    return proposal(z[rows], past[rows], GOALS[rows], horizon), z[rows, -1]


@pytest.mark.parametrize(("window", "num_frames"), [(1, 1), (1, 3), (3, 1), (3, 2), (3, 3)])
def test_what_it_proposes_leads_to_the_goal_within_the_bounds(window, num_frames):
    actions, start = propose(window, num_frames=num_frames)
    assert actions.shape == (len(STARTS), 5, WIDTH)
    torch.testing.assert_close(start + actions.sum(1), GOALS)
    assert (actions.abs() <= MAX_ACTION).all()


def test_each_block_is_the_heads_at_where_the_model_says_it_is():
    actions, start = propose()
    position = start
    for step in range(5):
        action = (GOALS - position).clamp(-MAX_ACTION, MAX_ACTION)
        torch.testing.assert_close(actions[:, step], action)
        position = position + action


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("num_frames", [1, 2, 4])
def test_the_model_sees_its_window_and_the_head_all_frames(window, num_frames):
    head, model = StraightHead(), AdditiveModel()
    propose(window, horizon=5, num_frames=num_frames, model=model, head=head)
    assert head.num_frames == [num_frames + step for step in range(5)]
    assert model.max_frames == window


def test_a_horizon_of_one_needs_no_model():
    model = AdditiveModel()
    actions, start = propose(horizon=1, model=model)
    assert model.max_sequences == 0
    torch.testing.assert_close(actions[:, 0], (GOALS - start).clamp(-MAX_ACTION, MAX_ACTION))


def test_an_episode_does_not_depend_on_its_neighbours():
    together, _ = propose(window=3)
    alone, _ = propose(window=3, rows=slice(1, 2))
    torch.testing.assert_close(alone[0], together[1])


def test_it_carries_no_gradient_of_its_head():
    head = torch.nn.Linear(WIDTH, WIDTH)
    actions, _ = propose(head=lambda z, past_actions, z_goal: head(z_goal - z[:, -1]))
    assert not actions.requires_grad
