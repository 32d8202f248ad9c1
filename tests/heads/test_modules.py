"""What heads make of embeddings, whatever their weights."""

import pytest
import torch

from lewm.heads import BehaviourCloning, InverseDynamics, TemporalDistance
from lewm.heads.goal_mlp import GoalMLP
from tests.fake_gpu import fake_gpu

WIDTH, ACTION_DIM, MAX_STEPS = 4, 6, 20


@pytest.fixture(autouse=True)
def generator():
    torch.manual_seed(0)


def inverse_dynamics(context=1):
    return InverseDynamics(WIDTH, ACTION_DIM, context, hidden_dim=16, num_layers=2)


def temporal_distance(num_bins=8):
    return TemporalDistance(WIDTH, MAX_STEPS, num_bins, hidden_dim=16, num_layers=2)


def test_inverse_dynamics_has_about_a_million_and_a_half_parameters_at_the_papers_width():
    head = InverseDynamics(192, 10, context=1, hidden_dim=768, num_layers=3)
    assert sum(parameter.numel() for parameter in head.parameters()) == 1_489_162


def test_a_head_sees_the_last_frames_of_its_context():
    head, z, z_goal = inverse_dynamics(context=2), torch.randn(3, 5, WIDTH), torch.randn(3, WIDTH)
    assert head(z, z_goal).shape == (3, ACTION_DIM)
    torch.testing.assert_close(head(z[:, -2:], z_goal), head(z, z_goal))
    assert not torch.allclose(head(z[:, :2], z_goal), head(z, z_goal))


def test_the_oldest_frame_stands_for_those_that_are_missing():
    head, z, z_goal = inverse_dynamics(context=3), torch.randn(3, 1, WIDTH), torch.randn(3, WIDTH)
    torch.testing.assert_close(head(z, z_goal), head(z.expand(-1, 3, -1), z_goal))


def test_steps_are_between_none_and_the_most():
    head = temporal_distance()
    steps = head(100 * torch.randn(500, WIDTH), 100 * torch.randn(500, WIDTH))
    assert (steps >= 0).all() and (steps <= MAX_STEPS).all()


def test_embeddings_and_goals_of_a_distance_are_broadcast():
    head, z, z_goal = temporal_distance(), torch.randn(2, 5, 3, WIDTH), torch.randn(2, WIDTH)
    steps = head(z, z_goal[:, None, None])
    assert steps.shape == (2, 5, 3)
    torch.testing.assert_close(steps[1, 4, 2], head(z[1, 4, 2], z_goal[1]))


@pytest.mark.parametrize("gap", [0.0, 0.3, 1.0, 7.7, 19.9, 20.0, 500.0])
def test_the_loss_of_a_gap_is_least_for_a_distribution_whose_mean_is_that_gap(gap):
    """The logits alone are trained, by the loss's gradient, so that the distribution is the one that it asks for."""
    head = temporal_distance()
    logits = torch.zeros(1, 8, requires_grad=True)
    head._logits = lambda z, z_goal: logits
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")
    z = torch.zeros(1, WIDTH)

    def closure():
        optimizer.zero_grad()
        loss = head.loss(z, z, torch.tensor([gap]))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert head(z, z).item() == pytest.approx(min(gap, MAX_STEPS), abs=0.05)


def test_heads_have_a_gradient_in_the_embeddings():
    z = torch.randn(3, WIDTH, requires_grad=True)
    for value in (inverse_dynamics()(z[:, None], torch.zeros(3, WIDTH)), temporal_distance()(z, torch.zeros(3, WIDTH))):
        (gradient,) = torch.autograd.grad(value.sum(), z)
        assert (gradient.abs().sum(1) > 0).all()


def test_embeddings_are_standardized_by_one_spread_for_all_dimensions():
    z = torch.randn(1000, WIDTH) * torch.tensor([10.0, 1.0, 1.0, 0.0]) + 7
    mlp, plain = GoalMLP(WIDTH, 2, 3, 8, 1), GoalMLP(WIDTH, 2, 3, 8, 1)
    plain.load_state_dict(mlp.state_dict())
    mlp.fit_normalization(z)
    scaled = (z - z.mean(0)) / (z - z.mean(0)).square().mean().sqrt()
    pairs, scaled_pairs = (torch.stack([rows, rows.roll(1, 0)], dim=1) for rows in (z, scaled))
    torch.testing.assert_close(mlp(pairs), plain(scaled_pairs))


def test_the_mlp_sees_the_newest_frame_and_differences_to_it():
    mlp = GoalMLP(WIDTH, 3, 3, 8, 1)
    mlp.layers = torch.nn.Identity()
    before, newest, goal = torch.randn(3, 5, WIDTH)
    seen = mlp(torch.stack([before, newest, goal], dim=1)).unflatten(1, (3, WIDTH))
    torch.testing.assert_close(seen, torch.stack([newest - before, newest, goal - newest], dim=1))


def test_embeddings_that_are_all_the_same_give_no_nan():
    mlp = GoalMLP(WIDTH, 2, 3, 8, 1)
    mlp.fit_normalization(torch.ones(10, WIDTH))
    assert mlp(torch.ones(10, 2, WIDTH)).isfinite().all()


class MeanColour(torch.nn.Module):
    output_dim = 3

    def forward(self, pixels):
        return pixels.float().mean((2, 3)) / 255


def test_behaviour_cloning_acts_by_a_frame_and_a_goal_frame():
    policy = BehaviourCloning(MeanColour(), ACTION_DIM, hidden_dim=16, num_layers=2)
    pixels, goal_pixels = (torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8) for _ in range(2))
    actions = policy(pixels, goal_pixels)
    assert actions.shape == (5, ACTION_DIM)
    torch.testing.assert_close(policy(pixels[2:3], goal_pixels[2:3]), actions[2:3])
    assert not torch.allclose(policy(goal_pixels, pixels), actions)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: InverseDynamics(WIDTH, ACTION_DIM, context=0, hidden_dim=8, num_layers=1), "context=0"),
        (lambda: InverseDynamics(WIDTH, ACTION_DIM, context=1, hidden_dim=0, num_layers=1), "hidden_dim=0"),
        (lambda: InverseDynamics(WIDTH, ACTION_DIM, context=1, hidden_dim=8, num_layers=0), "num_layers=0"),
        (lambda: temporal_distance(num_bins=1), "num_bins=1"),
        (lambda: TemporalDistance(WIDTH, 0, num_bins=2, hidden_dim=8, num_layers=1), "max_steps=0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_with_the_value(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize("make", [inverse_dynamics, temporal_distance])
def test_a_loss_never_waits_for_the_gpu(make):
    with fake_gpu() as copies, torch.device("cuda"):
        head = make()
        z, z_goal = (torch.randn(5, *shape, device="cuda") for shape in ((2, WIDTH), (WIDTH,)))
        targets = torch.randn(5, ACTION_DIM, device="cuda")
        if make is temporal_distance:
            z, targets = z[:, 0], 3 * targets[:, 0].abs()
        assert head.loss(z, z_goal, targets).is_cuda
        assert copies.num_back == 0
