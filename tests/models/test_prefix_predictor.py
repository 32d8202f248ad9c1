"""Fast-LeWM's predictor: causal in the actions, straight from the current embedding as far as it reaches."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lewm.errors import InputError
from lewm.models import PrefixPredictor
from lewm.training.model_spec import build_model
from tests.registries import read_model

DIM, WIDTH, CONTEXT, ACTION_DIM = 32, 24, 3, 6
SIZES = {"width": WIDTH, "action_depth": 2, "num_heads": 2, "head_dim": 8, "depth": 2, "mlp_dim": 40, "fusion_dim": 20}


def fresh_predictor(**changes):
    torch.manual_seed(0)
    return PrefixPredictor(**{"embedding_dim": DIM, "context": CONTEXT, **SIZES, "dropout": 0.0} | changes)


def drawn(predictor):
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.15)
    return predictor.eval()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = build_model(read_model("predictor=prefix"), 64, ACTION_DIM)
    drawn(model.predictor)
    return model.eval()


def drawn_tensor(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("step", range(CONTEXT))
def test_a_prediction_sees_the_actions_up_to_its_own_and_no_later_one(step):
    predictor, z, c = drawn(fresh_predictor()), drawn_tensor(2, DIM), drawn_tensor(2, CONTEXT, WIDTH, seed=1)
    changed = c.clone()
    changed[:, step] *= -1
    difference = (predictor.ahead(z, changed) - predictor.ahead(z, c)).abs().amax((0, 2))
    assert (difference[:step] == 0).all()
    assert (difference[step:] > 1e-4).all()


def test_every_prediction_sees_the_embedding():
    predictor, z, c = drawn(fresh_predictor()), drawn_tensor(2, DIM), drawn_tensor(2, CONTEXT, WIDTH, seed=1)
    assert ((predictor.ahead(-z, c) - predictor.ahead(z, c)).abs().amax((0, 2)) > 1e-4).all()


def test_the_order_of_actions_matters():
    predictor, z, c = drawn(fresh_predictor()), drawn_tensor(1, DIM), drawn_tensor(1, CONTEXT, WIDTH, seed=1)
    assert (predictor.ahead(z, c.flip(1))[:, -1] - predictor.ahead(z, c)[:, -1]).abs().max() > 1e-4


def test_a_shorter_prefix_is_predicted_the_same():
    predictor, z, c = drawn(fresh_predictor()), drawn_tensor(2, DIM), drawn_tensor(2, CONTEXT, WIDTH, seed=1)
    whole = predictor.ahead(z, c)
    for length in range(1, CONTEXT):
        torch.testing.assert_close(predictor.ahead(z, c[:, :length]), whole[:, :length])


def test_actions_do_not_matter_before_training_and_get_a_gradient_in_it():
    predictor, z, c = fresh_predictor(), drawn_tensor(2, DIM), drawn_tensor(2, CONTEXT, WIDTH, seed=1)
    assert torch.equal(predictor.ahead(z, c), predictor.ahead(z, c + 1))
    predictor.ahead(z, c).square().mul(torch.arange(WIDTH)).mean().backward()
    assert all(block.modulation[-1].weight.grad.abs().max() > 0 for block in predictor.blocks)


def test_dropout_acts_in_training_and_not_in_evaluation():
    predictor, z, c = drawn(fresh_predictor(dropout=0.5)), drawn_tensor(2, DIM), drawn_tensor(2, CONTEXT, WIDTH, seed=1)
    assert torch.equal(predictor.ahead(z, c), predictor.ahead(z, c))
    predictor.train()
    assert not torch.equal(predictor.ahead(z, c), predictor.ahead(z, c))


def test_one_step_ahead_is_the_shortest_prefix_of_each_frame(model):
    z, actions = drawn_tensor(2, 5, DIM), drawn_tensor(2, 5, ACTION_DIM, seed=1)
    expected = [model.predict_ahead(z[:, t], actions[:, t : t + 1])[:, 0] for t in range(5)]
    torch.testing.assert_close(model.predict(z, actions), torch.stack(expected, 1))


@pytest.mark.parametrize("num_past", [1, 3])
@pytest.mark.parametrize("horizon", [1, 3, 5, 7])
def test_a_rollout_goes_straight_as_far_as_it_reaches_and_on_from_the_last_imagined_embedding(model, num_past, horizon):
    z, actions = drawn_tensor(2, num_past, DIM), drawn_tensor(2, num_past - 1 + horizon, ACTION_DIM, seed=1)
    ahead, last, future = [], z[:, -1], actions[:, num_past - 1 :]
    while future.shape[1]:
        ahead.append(model.predict_ahead(last, future[:, :CONTEXT]))
        last, future = ahead[-1][:, -1], future[:, CONTEXT:]
    torch.testing.assert_close(model.rollout(z, actions), torch.cat(ahead, 1))
    torch.testing.assert_close(model.rollout(z, actions, 1), torch.cat(ahead, 1))  # it sees one embedding anyhow


def test_a_clip_is_predicted_straight_from_its_first_frame(model):
    z, actions = drawn_tensor(2, CONTEXT + 1, DIM), drawn_tensor(2, CONTEXT, ACTION_DIM, seed=1)
    predicted = model.predict_clip(z, actions)
    torch.testing.assert_close(predicted, model.rollout(z[:, :1], actions))
    z[:, 1:] += 1
    assert torch.equal(model.predict_clip(z, actions), predicted)


def test_it_has_the_parameters_of_its_sizes():
    model = build_model(read_model("model=paper", "predictor=prefix"), 224, action_dim=10)

    def linear(*widths):
        return sum((first + 1) * second for first, second in pairwise(widths))

    width, inner = 192, 6 * 32
    attention = 2 * width + 3 * inner * width + linear(inner, width)  # LayerNorm, queries, keys and values, output
    action_block = attention + 2 * width + linear(width, 4 * width, width)
    block = linear(width, 2048, width) + linear(width, 3 * width)
    others = linear(width, width, width) + 3 * width + linear(2 * width, 768, width) + 2 * 2 * width
    expected = 3 * action_block + 6 * block + others
    assert sum(parameter.numel() for parameter in model.predictor.parameters()) == expected


@pytest.mark.parametrize(("key", "value"), [("depth", 0), ("fusion_dim", 0), ("num_heads", 0), ("dropout", 1.5)])
def test_an_argument_out_of_its_range_is_refused(key, value):
    with pytest.raises(InputError, match=f"{key}={value} must be"):
        fresh_predictor(**{key: value})
