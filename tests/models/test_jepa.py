"""Every configured model, and one with each projector and flow that none of them has: shapes, causality, rollouts."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lewm.models import ACTION_ENCODERS, ENCODERS, FLOWS, PREDICTORS, PROJECTORS
from lewm.training.model_spec import build_model
from tests.registries import MODEL_CONFIGS, read_model

ACTION_DIM = 6
CONTEXT = 3
MICRO = MODEL_CONFIGS["micro"]
CONFIGS = {
    **MODEL_CONFIGS,
    **{f"projector={name}": replace(MICRO, projector={"name": name}) for name in PROJECTORS if name != "mlp"},
    **{f"flow={name}": replace(MICRO, flow={"name": name}) for name in FLOWS},
    **{f"predictor={name}": read_model(f"predictor={name}") for name in PREDICTORS if name != "adaln"},
}


@pytest.fixture(scope="module", params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def small_model(config):
    """A model of a configuration in eval mode, for frames of four patches a side.

    Its weights are drawn anew: fresh gates are zero, and a predictor that changes nothing is trivially causal.
    """
    torch.manual_seed(0)
    model = build_model(replace(config, context=CONTEXT), image_size(config), ACTION_DIM)
    for parameter in model.predictor.parameters():
        nn.init.normal_(parameter, std=0.15)
    if model.flow is not None:
        for coupling in model.flow.couplings:
            nn.init.normal_(coupling.conditioner.output.weight, std=0.02)
    return model.eval()


def image_size(config):
    return 4 * config.encoder["patch_size"]


@pytest.fixture(scope="module")
def model(config):
    return small_model(config)


@pytest.fixture(scope="module")
def size(config):
    return image_size(config)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def past(config, generator):
    """(B, T, D) embeddings and (B, T, A) actions, T the context."""
    return (
        torch.randn(2, CONTEXT, config.embedding_dim, generator=generator),
        torch.randn(2, CONTEXT, ACTION_DIM, generator=generator),
    )


def sees_the_past(config):
    """Whether a prediction sees frames before the newest."""
    return config.predictor["name"] == "adaln"


def random_frames(shape, size, generator):
    return torch.randint(256, (*shape, 3, size, size), generator=generator, dtype=torch.uint8)


def test_every_registered_part_is_in_a_configured_model():
    registries = {
        "encoder": ENCODERS,
        "projector": PROJECTORS,
        "flow": FLOWS,
        "predictor": PREDICTORS,
        "action_encoder": ACTION_ENCODERS,
    }
    for part, registry in registries.items():
        components = [getattr(config, part) for config in CONFIGS.values()]
        assert set(registry) == {component["name"] for component in components if component}


def test_it_encodes_uint8_frames(config, model, size, generator):
    z = model.encode(random_frames((2, 3), size, generator))
    assert z.shape == (2, 3, config.embedding_dim)
    assert z.dtype == torch.float32
    assert z.isfinite().all()


def test_an_embedding_depends_on_its_own_frame_only(model, size, generator):
    pixels = random_frames((2, 3), size, generator)
    z = model.encode(pixels)
    torch.testing.assert_close(model.encode(pixels[1:, 2:]), z[1:, 2:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_stands_between_the_projector_and_the_embeddings_and_can_be_undone(name, generator):
    model = small_model(CONFIGS[f"flow={name}"])
    pixels = random_frames((2, 3), image_size(MICRO), generator)
    features = model.projector(model.encoder(pixels.flatten(0, 1))).unflatten(0, (2, 3))
    z = model.encode(pixels)
    assert (z - features).abs().max() > 0.05
    torch.testing.assert_close(z, model.flow(features))
    torch.testing.assert_close(model.flow.inverse(z), features, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FLOWS)
def test_predictions_do_not_pass_through_the_flow(name, generator):
    model, plain = (small_model(CONFIGS[config]) for config in (f"flow={name}", "micro"))
    plain.load_state_dict(model.state_dict(), strict=False)
    past = torch.randn(2, 2, 32, generator=generator), torch.randn(2, 2, ACTION_DIM, generator=generator)
    assert torch.equal(model.predict(*past), plain.predict(*past))


@pytest.mark.parametrize("name", FLOWS)
def test_a_model_begins_with_the_same_weights_with_and_without_a_flow(name):
    states = []
    for config in (MICRO, replace(MICRO, flow={"name": name})):
        torch.manual_seed(0)
        states.append(build_model(config, image_size(MICRO), ACTION_DIM).state_dict())
    plain, with_flow = states
    assert not any(key.startswith("flow") for key in plain)
    assert {key for key in with_flow if not key.startswith("flow.")} == set(plain)
    assert all(torch.equal(with_flow[key], plain[key]) for key in plain)


def test_frames_that_are_mirrored_or_transposed_have_other_embeddings(model, size, generator):
    pixels = random_frames((1, 1), size, generator)
    z = model.encode(pixels)
    for other in (pixels.flip(-1), pixels.flip(-2), pixels.transpose(-1, -2), pixels.flip(-3)):
        assert (model.encode(other) - z).abs().max() > 1e-3


def test_it_fits_its_normalization_to_frames_of_clips(config, size, generator):
    fitted, pixels = small_model(config), random_frames((4, 3), size, generator) // 2
    constant = fitted.encoder.mean.clone()
    fitted.fit_normalization(pixels)
    expected = pixels.float().mean((0, 1)) if config.encoder["normalization"] == "dataset" else constant
    torch.testing.assert_close(fitted.encoder.mean, expected)


def test_encoding_does_not_write_into_the_frames(model, size, generator):
    pixels = random_frames((1, 2), size, generator)
    before = pixels.clone()
    model.encode(pixels)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("what", ["z", "action"])
@pytest.mark.parametrize("step", range(CONTEXT))
def test_a_change_at_one_step_changes_every_prediction_that_sees_it_and_no_other(config, model, past, what, step):
    z, actions = past
    changed = [z.clone(), actions.clone()]
    changed[what == "action"][:, step] *= -1
    difference = (model.predict(*changed) - model.predict(z, actions)).abs().amax((0, 2))
    assert (difference[:step] == 0).all()
    last = CONTEXT if sees_the_past(config) else step + 1
    assert (difference[step:last] > 1e-4).all()
    assert (difference[last:] == 0).all()


def test_a_prediction_does_not_depend_on_how_many_steps_follow(model, past):
    z, actions = past
    whole = model.predict(z, actions)
    for length in range(1, CONTEXT):
        torch.testing.assert_close(model.predict(z[:, :length], actions[:, :length]), whole[:, :length])


def test_a_rollout_of_one_step_is_the_last_prediction(config, model, past):
    # A predictor that sees the newest frame alone computes that one alone, in another order.
    tolerance = {"rtol": 0, "atol": 0} if sees_the_past(config) else {}
    torch.testing.assert_close(model.rollout(*past), model.predict(*past)[:, -1:], **tolerance)


@pytest.mark.parametrize("num_past", [1, 2, CONTEXT, CONTEXT + 2])
@pytest.mark.parametrize("context", [None, 1, 2])
def test_a_rollout_is_a_loop_of_predictions(config, model, generator, num_past, context):
    if config.predictor["name"] == "prefix":
        pytest.skip("predicts several steps straight; see test_prefix_predictor.py")
    horizon = 4
    z = torch.randn(2, num_past, config.embedding_dim, generator=generator)
    actions = torch.randn(2, num_past - 1 + horizon, ACTION_DIM, generator=generator)
    seen = list(z.unbind(1))
    window = context or CONTEXT
    for step in range(horizon):
        last = num_past + step  # actions[:, last - 1] leads from the last embedding to the one predicted here
        first = max(last - window, 0)
        z_next = model.predict(torch.stack(seen[first:last], 1), actions[:, first:last])
        seen.append(z_next[:, -1])
    expected = torch.stack(seen[num_past:], 1)
    torch.testing.assert_close(model.rollout(z, actions, context), expected, rtol=1e-5, atol=1e-5)


def test_a_rollout_depends_on_every_action(config, model, generator):
    z = torch.randn(1, 2, config.embedding_dim, generator=generator)
    actions = torch.randn(1, 4, ACTION_DIM, generator=generator)
    last = model.rollout(z, actions)[:, -1]
    for step in range(0 if sees_the_past(config) else 1, 4):
        changed = actions.clone()
        changed[:, step] += 1
        assert (model.rollout(z, changed)[:, -1] - last).abs().max() > 1e-5


def test_a_rollout_does_not_write_into_its_arguments(model, past):
    before = [tensor.clone() for tensor in past]
    model.rollout(*past)
    assert all(torch.equal(*pair) for pair in zip(past, before, strict=True))


def test_every_parameter_that_is_trained_gets_a_gradient(model, size, generator):
    model.zero_grad()
    z = model.encode(random_frames((2, 2), size, generator))
    (
        z.square().mean() + model.predict(z, torch.randn(2, 2, ACTION_DIM, generator=generator)).square().mean()
    ).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # Step 2 of the predictor's positions is beyond these clips, and its row is part of a parameter with a gradient.
    assert without == []
