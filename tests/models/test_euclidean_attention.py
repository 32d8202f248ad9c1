"""Euclidean attention against its formula, one sample, head and key at a time, for every option."""

import itertools
import math

import pytest
import torch

from lewm.models import AutoCompressingNetwork, EuclideanAttention

INPUT_DIM, OUTPUT_DIM, NUM_HEADS, NUM_KEYS, HEAD_DIM = 5, 3, 2, 6, 4
OPTIONS = {
    "logits": ("euclidean", "dot_product"),
    "normalized_keys": (False, True),
    "learned_temperature": (False, True),
    "values": ("constant", "affine"),
    "query_transform": ("identity", "linear", "auto_compressing"),
    "combination": ("linear", "auto_compressing"),
}


def make(**options):
    """A small module in float64 whose parameters are all drawn, also those that begin as constants."""
    torch.manual_seed(0)
    module = EuclideanAttention(INPUT_DIM, OUTPUT_DIM, NUM_HEADS, NUM_KEYS, HEAD_DIM, **options)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module.double()


def queries(*shape):
    return torch.randn(*shape, INPUT_DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def slow_attention(module, x, options):
    """The formula, written out: x (N, input_dim)."""
    outputs = []
    for query in module.query_transform(x):
        heads = []
        for head in range(NUM_HEADS):
            logits = []
            for key in module.keys[head]:
                key = key / key.pow(2).sum().sqrt() if options["normalized_keys"] else key
                if options["logits"] == "euclidean":
                    logits.append(query @ key - module.scale[head].exp() * (key @ key) / 2)
                else:
                    logits.append(query @ key / math.sqrt(INPUT_DIM))
            logits = torch.stack(logits)
            logits = (logits - logits.mean()) / (logits.var(unbiased=False) + 1e-5).sqrt()
            logits = logits * module.log_norm_weight.exp()
            if options["learned_temperature"]:
                logits = logits * module.temperature[head].exp()
            weights = logits.exp() / logits.exp().sum()
            total = torch.zeros(HEAD_DIM, dtype=torch.float64)
            for index in range(NUM_KEYS):
                value = module.values[head, index]
                if options["values"] == "affine":
                    value = value + module.values_out[head, index] * (query @ module.values_in[head, index])
                total = total + weights[index] * value
            heads.append(total)
        outputs.append(module.combination(torch.cat(heads)))
    return torch.stack(outputs)


@pytest.mark.parametrize("chosen", list(itertools.product(*OPTIONS.values())), ids=str)
def test_it_is_the_formula(chosen):
    options = dict(zip(OPTIONS, chosen, strict=True))
    module, x = make(**options), queries(3)
    torch.testing.assert_close(module(x), slow_attention(module, x, options))


@pytest.mark.parametrize(("option", "value"), [(name, value) for name in OPTIONS for value in OPTIONS[name][1:]])
def test_an_option_changes_the_outcome(option, value):
    x = queries(8)
    default, changed = make(), make(**{option: value})
    shared = {name: tensor for name, tensor in changed.state_dict().items() if name in default.state_dict()}
    shared = {name: tensor for name, tensor in shared.items() if tensor.shape == default.state_dict()[name].shape}
    default.load_state_dict(shared, strict=False)
    assert (changed(x) - default(x)).abs().max() > 1e-3


def test_a_query_that_is_a_key_attends_most_to_it():
    """At scale 0 the logit is the squared distance, up to what all keys share."""
    torch.manual_seed(0)
    module = EuclideanAttention(INPUT_DIM, OUTPUT_DIM, num_heads=3, num_keys=20)
    weights = module._weights(module.keys[1])
    assert torch.equal(weights[:, 1].argmax(-1), torch.arange(20))


def test_weights_sum_to_one_and_do_not_depend_on_the_scale_of_far_queries():
    module = make(logits="dot_product")
    weights = module._weights(1e3 * queries(4))
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, NUM_HEADS, dtype=torch.float64))
    torch.testing.assert_close(weights, module._weights(1e4 * queries(4)), rtol=1e-4, atol=1e-6)


def test_any_number_of_leading_dimensions_is_mapped_row_by_row():
    module, x = make(values="affine"), queries(2, 3)
    assert module(x).shape == (2, 3, OUTPUT_DIM)
    torch.testing.assert_close(module(x)[1, 2], module(x[1, 2]))


def test_heads_are_combined_by_the_chosen_network():
    assert isinstance(make(combination="auto_compressing").combination, AutoCompressingNetwork)
    assert isinstance(make(combination="linear").combination, torch.nn.Linear)


def test_affine_values_hardly_matter_at_the_start():
    torch.manual_seed(0)
    module, x = EuclideanAttention(INPUT_DIM, OUTPUT_DIM, values="affine"), queries(8).float()
    before = module(x)
    module.values_out.data.zero_()
    assert 0 < (module(x) - before).norm() < 0.1 * before.norm()


def test_the_norm_weight_and_the_scale_begin_as_the_reference_says():
    module = EuclideanAttention(INPUT_DIM, OUTPUT_DIM, learned_temperature=True)
    assert (module.log_norm_weight == -1).all()
    assert (module.scale == 0).all()
    assert (module.temperature == 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_heads": 0}, "num_heads=0"),
        ({"num_keys": 1}, "num_keys=1"),
        ({"head_dim": 0}, "head_dim=0"),
        ({"logits": "cosine"}, "'cosine' is none of euclidean, dot_product"),
        ({"values": "linear"}, "'linear' is none of constant, affine"),
        ({"query_transform": "mlp"}, "'mlp' is none of identity, linear"),
        ({"combination": "sum"}, "'sum' is none of linear, auto_compressing"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        EuclideanAttention(INPUT_DIM, OUTPUT_DIM, **arguments)
