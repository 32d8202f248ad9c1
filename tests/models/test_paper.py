"""The released model: what the paper's configuration must come to (reference: LeWM, section 3 and its code)."""

import pytest
import torch

from lewm.training.model_spec import build_model
from tests.registries import MODEL_CONFIGS


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(MODEL_CONFIGS["paper"], image_size=224, action_dim=10)


def test_it_has_the_parameters_of_the_released_one(model):
    assert sum(parameter.numel() for parameter in model.parameters()) == 18_034_478


def test_all_of_them_are_trained(model):
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_its_embeddings_have_192_numbers(model):
    model.eval()
    with torch.inference_mode():
        z = model.encode(torch.zeros(1, 2, 3, 224, 224, dtype=torch.uint8))
        assert z.shape == (1, 2, 192)
        assert model.predict(z, torch.zeros(1, 2, 10)).shape == (1, 2, 192)
