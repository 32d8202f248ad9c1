"""FoldedRollout is JEPA.rollout for many candidates, for predictors that CachedRollout does not know."""

import pytest
import torch

from lewm.config import PlanningConfig
from lewm.models.rollout.build import build_rollout
from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.folded import FoldedRollout
from lewm.training.model_spec import build_model
from tests.programs import compose, refusal
from tests.registries import read_model

EPISODES, CANDIDATES, ACTION_DIM, DIM = 2, 5, 4, 32
NAMES = ("affine", "prefix")


def make_model(name):
    torch.manual_seed(0)
    model = build_model(read_model(f"predictor={name}"), 64, ACTION_DIM)
    for parameter in model.predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return make_model(request.param)


def situation(num_frames, horizon):
    generator = torch.Generator().manual_seed(10 * num_frames + horizon)
    return (
        torch.randn(EPISODES, num_frames, DIM, generator=generator),
        torch.randn(EPISODES, num_frames - 1, ACTION_DIM, generator=generator),
        torch.randn(EPISODES, CANDIDATES, horizon, ACTION_DIM, generator=generator),
    )


def planning(**changes) -> PlanningConfig:
    return PlanningConfig(**vars(compose().planning) | {"precision": "float32"} | changes)


@pytest.mark.parametrize("num_frames", [1, 3])
@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_each_candidate_is_imagined_as_by_the_model_alone(model, num_frames, batch_size):
    z, past, candidates = situation(num_frames, horizon=5)
    with torch.no_grad():
        imagined = FoldedRollout(model, 1, batch_size)(z, past)(candidates)
        assert imagined.shape == (EPISODES, CANDIDATES, 5, DIM)
        for episode, number in ((0, 0), (0, 4), (1, 2)):
            actions = torch.cat([past[episode], candidates[episode, number]])[None]
            expected = model.rollout(z[episode][None], actions, 1)[0]
            torch.testing.assert_close(imagined[episode, number], expected, rtol=1e-4, atol=1e-5)
    assert imagined.std() > 0.05


def test_a_candidate_has_a_gradient(model):
    z, past, candidates = situation(1, horizon=4)
    candidates.requires_grad_()
    FoldedRollout(model, 1)(z, past)(candidates)[:, :, -1].square().sum().backward()
    assert (candidates.grad.abs().amax((0, 1, 3)) > 0).all()


def test_bfloat16_is_that_of_the_products_and_gives_float32(model):
    z, past, candidates = situation(1, horizon=4)
    with torch.no_grad():
        exact, rounded = (FoldedRollout(model, 1, precision=p)(z, past)(candidates) for p in ("float32", "bfloat16"))
    assert rounded.dtype == torch.float32
    error = (rounded - exact).norm() / exact.norm()
    assert 1e-4 < error < 3e-2


def test_weights_that_move_are_told_from_weights_that_change():
    model = make_model("affine")
    rollout, (z, past, candidates) = FoldedRollout(model, 1), situation(1, horizon=2)
    before, weights = rollout(z, past)(candidates), rollout.current_weights()
    with torch.no_grad():
        model.predictor.action.bias.add_(1)
    assert rollout.current_weights() is weights
    assert (rollout(z, past)(candidates) - before).abs().max() > 0.1
    model.predictor.action = torch.nn.Linear(DIM, DIM)
    assert rollout.current_weights() is not weights


@pytest.mark.parametrize(
    ("name", "kind"), [("affine", FoldedRollout), ("prefix", FoldedRollout), (None, CachedRollout)]
)
def test_the_predictor_chooses_the_rollout(name, kind):
    words = [f"predictor={name}"] if name else []
    rollout = build_rollout(build_model(read_model(*words), 64, ACTION_DIM), planning(), "cpu")
    assert type(rollout) is kind


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "planning.batch_size=0 must be at least 1"),
        ({"window": 4}, "planning.window=4, but the model was trained on 3 frames"),
        ({"context": 4}, "planning.context=4, but the model was trained on 3 frames"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name_and_value(model, changes, words):
    assert words in refusal(build_rollout, model, planning(**changes), "cpu")


def test_dropout_and_batch_norm_must_be_off():
    z, past, candidates = situation(1, horizon=2)
    with pytest.raises(AssertionError):
        FoldedRollout(make_model("prefix").train(), 1)(z, past)(candidates)
