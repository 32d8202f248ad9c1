"""The auto-compressing network against its formula."""

import pytest
import torch
import torch.nn.functional as F

from lewm.models import AutoCompressingNetwork


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("num_layers", [0, 1, 4])
def test_it_sums_its_layers_before_the_output(num_layers):
    network, x = AutoCompressingNetwork(5, 3, hidden_dim=7, num_layers=num_layers), torch.randn(2, 6, 5)
    hidden = [x @ network.input.weight.T + network.input.bias]
    for layer in network.layers:
        hidden.append(F.elu(hidden[-1]) @ layer.weight.T + layer.bias)
    expected = F.elu(torch.stack(hidden).sum(0)) @ network.output.weight.T + network.output.bias
    torch.testing.assert_close(network(x), expected)


def test_every_layer_reaches_the_output_past_those_behind_it():
    network, x = AutoCompressingNetwork(5, 3, hidden_dim=7, num_layers=3), torch.randn(4, 5)
    for layer in network.layers[1:]:
        layer.weight.data.zero_()
    network(x).sum().backward()
    assert network.layers[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(("key", "value"), [("hidden_dim", 0), ("num_layers", -1)])
def test_sizes_that_mean_nothing_are_refused(key, value):
    with pytest.raises(ValueError, match=f"{key}={value}"):
        AutoCompressingNetwork(5, 3, **{key: value})
