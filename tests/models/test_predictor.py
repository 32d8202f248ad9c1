import torch

from lewm.models import Predictor


def fresh_predictor(**changes):
    torch.manual_seed(0)
    arguments = {
        "embedding_dim": 8,
        "context": 3,
        "width": 16,
        "depth": 2,
        "num_heads": 2,
        "head_dim": 8,
        "mlp_dim": 32,
    }
    return Predictor(**arguments | {"dropout": 0.0} | changes)


def test_actions_do_not_matter_before_training():
    z, actions = torch.randn(2, 3, 8), torch.randn(2, 3, 16)
    predictor = fresh_predictor()
    assert torch.equal(predictor(z, actions), predictor(z, actions + 1))


def test_actions_get_a_gradient_from_the_first_step_on():
    predictor = fresh_predictor()
    predictor(torch.randn(2, 3, 8), torch.randn(2, 3, 16)).square().mul(torch.arange(16)).mean().backward()
    assert all(block.modulation[-1].weight.grad.abs().max() > 0 for block in predictor.blocks)


def test_a_predictor_of_another_width_maps_embeddings_to_it():
    assert fresh_predictor(width=24)(torch.randn(2, 3, 8), torch.randn(2, 3, 24)).shape == (2, 3, 24)


def test_steps_are_told_apart_by_their_position():
    z = torch.randn(1, 1, 8).expand(1, 3, 8)
    out = fresh_predictor()(z, torch.zeros(1, 3, 16))
    assert (out[:, 0] - out[:, 1]).abs().max() > 1e-3
    assert (out[:, 1] - out[:, 2]).abs().max() > 1e-3


def test_dropout_acts_in_training_and_not_in_evaluation():
    predictor = fresh_predictor(dropout=0.5)
    for block in predictor.blocks:
        torch.nn.init.normal_(block.modulation[-1].weight)
    z, actions = torch.randn(2, 3, 8), torch.randn(2, 3, 16)
    assert not torch.equal(predictor(z, actions), predictor(z, actions))
    predictor.eval()
    assert torch.equal(predictor(z, actions), predictor(z, actions))
