"""Models from their configurations; what cannot be built is refused by name and value."""

from dataclasses import replace

import pytest
import torch

from lewm.training.model_spec import build_model
from tests.programs import TINY, compose, refusal

FRAME_SIZE, ACTION_DIM = 48, 10
SIZES = {
    "encoder": ("patch_size", "width", "depth", "num_heads"),
    "projector": ("hidden_dim",),
    "action_encoder": ("bottleneck_dim", "hidden_dim"),
    "predictor": ("width", "depth", "num_heads", "head_dim", "mlp_dim"),
}


@pytest.fixture(scope="module")
def config():
    return compose(*TINY)


@pytest.fixture(scope="module")
def model(config):
    return build_model(config.model, FRAME_SIZE, ACTION_DIM)


def test_a_model_takes_frames_of_the_environment_and_blocks_of_actions(config, model):
    z = model.encode(torch.zeros(2, 3, 3, FRAME_SIZE, FRAME_SIZE, dtype=torch.uint8))
    assert z.shape == (2, 3, config.model.embedding_dim)
    assert model.predict(z, torch.zeros(2, 3, ACTION_DIM)).shape == z.shape


def test_a_model_sees_as_many_frames_as_its_context(config):
    model = build_model(replace(config.model, context=2), FRAME_SIZE, ACTION_DIM).eval()
    assert model.context == 2
    z, actions = torch.zeros(1, 1, config.model.embedding_dim), torch.zeros(1, 4, ACTION_DIM)
    assert model.rollout(z, actions).shape == (1, 4, config.model.embedding_dim)


def test_the_two_projectors_do_not_share_their_weights(model):
    assert not {id(p) for p in model.projector.parameters()} & {id(p) for p in model.predictor_projector.parameters()}


def test_initial_weights_are_a_function_of_the_global_seed(config):
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(torch.cat([p.flatten() for p in build_model(config.model, FRAME_SIZE, ACTION_DIM).parameters()]))
    assert torch.equal(models[0], models[1])
    assert not torch.equal(models[0], models[2])


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("encoder", {"name": "vitt"}, ["encoder", "'vitt'", "'vit'"]),
        ("encoder", {"widht": 96}, ["encoder", "'widht'", "'width'"]),
        ("encoder", {"patch_size": 7}, ["patch_size=7", "48"]),
        ("encoder", {"pooling": "max"}, ["'max'", "cls, mean"]),
        ("encoder", {"normalization": "batch"}, ["'batch'", "imagenet, dataset"]),
        ("encoder", {"positions": "rotary"}, ["'rotary'", "learned, sincos"]),
        ("encoder", {"num_heads": 3}, ["num_heads"]),
        ("encoder", {"width": 18, "num_heads": 2}, ["divisible by 4"]),
        ("predictor", {"name": "adalm"}, ["predictor", "'adalm'", "'adaln'"]),
        ("predictor", {"dropout": 2.0}, ["dropout", "2"]),
        ("projector", {"name": "linear"}, ["projector", "'linear'", "mlp"]),
        ("projector", {"depth": 2}, ["projector", "'depth'"]),
        ("action_encoder", {"hidden": 2}, ["action_encoder", "'hidden'", "'hidden_dim'"]),
    ],
)
def test_a_model_that_cannot_be_built_is_refused_by_name_and_value(config, part, changes, words):
    changed = replace(config.model, **{part: getattr(config.model, part) | changes})
    message = refusal(build_model, changed, FRAME_SIZE, ACTION_DIM)
    for word in words:
        assert word in message


@pytest.mark.parametrize(("part", "size"), [(part, size) for part, sizes in SIZES.items() for size in sizes])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_1_is_refused_by_name_and_value(config, part, size, value):
    changed = replace(config.model, **{part: getattr(config.model, part) | {size: value}})
    assert f"{size}={value} must be at least 1" in refusal(build_model, changed, FRAME_SIZE, ACTION_DIM)


def test_frames_without_pixels_are_refused(config):
    assert "image_size=0" in refusal(build_model, config.model, 0, ACTION_DIM)
