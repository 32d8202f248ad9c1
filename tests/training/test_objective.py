"""The loss on a linear model, whose gradient can be written down."""

import pytest
import torch
from torch import nn

from lewm.clip import Clip
from lewm.regularizers import build_regularizer
from lewm.training.objective import Objective
from lewm.training.trainer import copy_last_loss
from tests.programs import compose

BATCH, FRAMES, DIM, ACTIONS = 5, 4, 3, 2


class LinearModel(nn.Module):
    """z = pixels @ encoder, and z' = z + actions @ dynamics."""

    def __init__(self):
        super().__init__()
        self.actor = self.contrast = None
        generator = torch.Generator().manual_seed(0)
        self.encoder = nn.Parameter(torch.randn(12, DIM, generator=generator) / 100)
        self.dynamics = nn.Parameter(torch.randn(ACTIONS, DIM, generator=generator))

    def encode(self, pixels):
        return pixels.flatten(2).float() @ self.encoder

    def predict(self, z, actions):
        return z + actions @ self.dynamics

    def predict_clip(self, z, actions, rollout_steps):
        assert rollout_steps == 1
        return self.predict(z[:, :-1], actions)


class NoisyScale(nn.Module):
    """The mean square of the embeddings times a number of the generator's; it keeps what it was given."""

    def forward(self, z, *, generator):
        self.given = z
        return z.float().square().mean() * torch.rand((), generator=generator)


@pytest.fixture
def clip():
    generator = torch.Generator().manual_seed(1)
    return Clip(
        torch.randint(256, (BATCH, FRAMES, 3, 2, 2), generator=generator, dtype=torch.uint8),
        torch.randn(BATCH, FRAMES - 1, ACTIONS, generator=generator),
        torch.full((BATCH, FRAMES, 2), torch.nan),  # states are never trained on
    )


@pytest.fixture
def objective():
    return Objective(LinearModel(), NoisyScale(), regularizer_weight=3.0)


def generator():
    return torch.Generator().manual_seed(2)


def test_the_total_is_the_prediction_loss_and_the_weighted_regularizer(objective, clip):
    loss, _ = objective(clip, generator())
    assert loss.regularizer > 0
    assert loss.total.item() == pytest.approx(loss.prediction.item() + 3 * loss.regularizer.item(), rel=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_weight_changes_the_total_only(objective, clip, weight):
    loss, _ = objective(clip, generator())
    other, _ = Objective(objective.model, NoisyScale(), weight)(clip, generator())
    assert (other.prediction, other.regularizer) == (loss.prediction, loss.regularizer)
    assert other.total < loss.total


def test_the_prediction_loss_is_the_mean_square_error_of_each_next_embedding(objective, clip):
    model = objective.model
    z = model.encode(clip.pixels)
    errors = [z[:, t] + clip.actions[:, t] @ model.dynamics - z[:, t + 1] for t in range(FRAMES - 1)]
    loss, _ = objective(clip, generator())
    torch.testing.assert_close(loss.prediction, torch.stack(errors).square().mean())


def encoder_gradient(model, clip, detach_target):
    z = model.encode(clip.pixels)
    target = z[:, 1:].detach() if detach_target else z[:, 1:]
    error = model.predict(z[:, :-1], clip.actions) - target
    return torch.autograd.grad(error.square().mean(), model.encoder)[0]


def test_the_encoder_learns_through_both_sides_of_the_prediction(objective, clip):
    loss, _ = objective(clip, generator())
    (gradient,) = torch.autograd.grad(loss.prediction, objective.model.encoder)
    torch.testing.assert_close(gradient, encoder_gradient(objective.model, clip, detach_target=False))
    one_sided = encoder_gradient(objective.model, clip, detach_target=True)
    assert (gradient - one_sided).norm() > 0.1 * gradient.norm()


def test_the_regularizer_sees_and_shapes_the_embeddings_of_all_frames(objective, clip):
    loss, _ = objective(clip, generator())
    assert objective.regularizer.given.shape == (BATCH, FRAMES, DIM)
    (gradient,) = torch.autograd.grad(loss.regularizer, objective.regularizer.given)
    assert (gradient.abs().amax((0, 2)) > 0).all()


def test_the_regularizer_gets_the_generator_of_the_step(objective, clip):
    first, again, other = (objective(clip, torch.Generator().manual_seed(seed))[0] for seed in (2, 2, 3))
    assert first.regularizer == again.regularizer != other.regularizer


def test_the_embeddings_for_diagnostics_are_those_of_the_frames_and_carry_no_gradient(objective, clip):
    _, z = objective(clip, generator())
    assert not z.requires_grad
    torch.testing.assert_close(z, objective.model.encode(clip.pixels).detach())


def test_the_loss_is_float32_under_autocast(objective, clip):
    with torch.autocast("cpu", torch.bfloat16):
        assert objective.model.encode(clip.pixels).dtype == torch.bfloat16
        loss, z = objective(clip, generator())
    assert {part.dtype for part in loss} == {torch.float32}
    assert z.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks at it
@pytest.mark.parametrize("name", ["sigreg", "wristband"])
def test_a_compiled_objective_trains_the_same(clip, name):
    """As `accelerate launch --dynamo_backend` compiles it."""
    objective = Objective(LinearModel(), build_regularizer(compose(f"regularizer={name}").regularizer), 3.0)
    results = []
    for call in (objective, torch.compile(objective, backend="eager")):
        loss, _ = call(clip, generator())
        results.append((loss.total, torch.autograd.grad(loss.total, objective.model.encoder)))
    torch.testing.assert_close(*results)


def test_the_copy_last_loss_is_that_of_predicting_no_change():
    z = torch.tensor([[[0.0, 0.0], [1.0, 2.0], [1.0, 5.0]]])
    assert copy_last_loss(z) == pytest.approx((1 + 4 + 0 + 9) / 4)


def test_the_copy_last_loss_of_collapsed_embeddings_can_be_divided_by():
    assert 0 < copy_last_loss(torch.ones(2, 3, 4)) < 1e-9


class Distance(nn.Module):
    """An actor whose loss is the mean square of what leads from each frame to the next, less the actions' mean."""

    def loss(self, z, actions):
        return (z[:, 1:] - z[:, :-1]).float().square().mean() - actions.mean()


def test_an_actor_adds_its_loss_to_the_total(objective, clip):
    without, _ = objective(clip, generator())
    objective.model.actor = Distance()
    loss, z = objective(clip, generator())
    assert without.actor == 0 and torch.equal(loss.actor, Distance().loss(z, clip.actions))
    torch.testing.assert_close(loss.total, without.total + loss.actor)
    assert torch.equal(loss.prediction, without.prediction) and torch.equal(loss.regularizer, without.regularizer)


class Spread(nn.Module):
    """A contrast whose loss is the mean square of the embeddings."""

    def loss(self, z):
        return z.float().square().mean()


def test_a_contrast_adds_its_loss_to_the_total(objective, clip):
    without, _ = objective(clip, generator())
    objective.model.contrast = Spread()
    loss, z = objective(clip, generator())
    assert without.contrast == 0 and torch.equal(loss.contrast, Spread().loss(z))
    torch.testing.assert_close(loss.total, without.total + loss.contrast)
    assert torch.equal(loss.prediction, without.prediction) and torch.equal(loss.regularizer, without.regularizer)
