"""Optimizers: what decays and what does not, what Muon does with which matrices, and that AdamW stays AdamW."""

import math

import pytest
import torch
from torch import nn

from lewm.training.objective import build_objective
from lewm.training.optimizers import OPTIMIZERS, Muon, Weight, build_optimizer, orthogonalize, trained_weights
from tests.programs import TINY, compose, refusal
from tests.registries import read_group
from tests.runs import spec_of

CPU = torch.device("cpu")
MODELS = {
    "micro": (),
    "learned positions and a class token": ("model.encoder.positions=learned", "model.encoder.pooling=cls"),
    "convolutions and a flow": ("model.encoder.stem=conv", "model.flow=affine_coupling"),
    "attention to prototypes": ("model.projector=euclidean_attention",),
}
TABLES = ("cls_token", "pos_embed", "positions.weight", ".keys", ".values", ".values_in", ".values_out")
"""Ends of the names of parameters of more than one axis that are no linear maps."""


def tiny_objective(*overrides):
    config = compose(*TINY, *overrides)
    torch.manual_seed(0)
    return config, build_objective(spec_of(config).build_model(), config.regularizer)


def with_gradients(objective, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in objective.parameters():
        if parameter.requires_grad:
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    return objective


def trained_parameters(objective):
    return {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}


def is_matrix_of_a_block(name, parameter):
    return ".blocks." in name and parameter.dim() == 2


def test_every_optimizer_has_a_file_that_names_it():
    assert {name: component["name"] for name, component in read_group("optimizer").items()} == {
        name: name for name in OPTIMIZERS
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("words", MODELS.values(), ids=MODELS)
def test_linear_maps_and_convolutions_decay_and_nothing_else(name, words):
    """Without a gradient of its own a step only shrinks a weight."""
    config, objective = tiny_objective(*words, f"optimizer={name}", "training.weight_decay=0.25")
    parameters = trained_parameters(with_gradients(objective, scale=0.0))
    before = {name: parameter.detach().clone().fill_(1.0) for name, parameter in parameters.items()}
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.fill_(1.0)
    build_optimizer(config, objective, CPU, torch.float32).step()
    shrunk = {name for name, parameter in parameters.items() if not torch.equal(parameter, before[name])}
    assert shrunk == {name for name, value in before.items() if value.dim() > 1 and not name.endswith(TABLES)}
    for key in shrunk:
        is_muons = name == "muon" and is_matrix_of_a_block(key, parameters[key])
        rate = config.optimizer["learning_rate"] if is_muons else config.training.learning_rate
        torch.testing.assert_close(parameters[key], before[key] * (1 - 0.25 * rate))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("words", MODELS.values(), ids=MODELS)
def test_every_trained_parameter_is_in_one_group_with_its_position(name, words):
    config, objective = tiny_objective(*words, f"optimizer={name}")
    expected = list(trained_parameters(objective).values())
    groups = build_optimizer(config, objective, CPU, torch.float32).param_groups
    found = [pair for group in groups for pair in zip(group["positions"], group["params"], strict=True)]
    assert sorted(position for position, _ in found) == list(range(len(expected)))
    assert all(parameter is expected[position] for position, parameter in found)


def test_the_matrices_of_the_blocks_are_muons_and_nothing_else_is():
    _, objective = tiny_objective("model.encoder.depth=2")
    names = list(trained_parameters(objective))
    muons = {names[weight.position]: weight.num_matrices for weight in trained_weights(objective)}
    blocks = [f"encoder.vit.blocks.{i}" for i in range(2)]
    expected = {f"model.{block}.{end}": 1 for block in blocks for end in ("attn.proj", "mlp.fc1", "mlp.fc2")}
    expected |= {f"model.{block}.attn.qkv": 3 for block in blocks}
    expected |= {f"model.predictor.blocks.0.{end}": 1 for end in ("attention.to_out", "mlp.1", "mlp.4")}
    expected |= {"model.predictor.blocks.0.attention.to_qkv": 3, "model.predictor.blocks.0.modulation.1": 6}
    assert {name: number for name, number in muons.items() if number} == {
        f"{name}.weight": number for name, number in expected.items()
    }


def test_beside_muon_adamw_does_what_it_does_alone_bit_for_bit():
    ends = []
    for name in OPTIMIZERS:
        config, objective = tiny_objective(f"optimizer={name}", "training.weight_decay=0.25")
        optimizer = build_optimizer(config, objective, CPU, torch.float32)
        for seed in range(3):
            with_gradients(objective, seed)
            optimizer.step()
        ends.append(trained_parameters(objective))
    others = [name for name, parameter in ends[0].items() if not is_matrix_of_a_block(name, parameter)]
    assert len(others) > 30
    assert [name for name in others if not torch.equal(ends[0][name], ends[1][name])] == []


def muon(parameters, num_matrices=1, *, momentum=0.9, weight_decay=0.5, dtype=torch.float32, num_iterations=5):
    """Muon alone, of matrices, with the learning rate 0.1."""
    weights = [Weight(i, parameter, True, num_matrices) for i, parameter in enumerate(parameters)]
    training = compose(f"training.weight_decay={weight_decay}").training
    return Muon(weights, training, CPU, dtype, 0.1, momentum, num_iterations)


def steps_of(make, parameters, num_steps=4):
    """The parameters after some steps along random gradients."""
    parameters = [nn.Parameter(parameter.clone()) for parameter in parameters]
    optimizer, generator = make(parameters), torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def matrices(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_a_matrix_moves_as_in_torchs_muon():
    """torch's orthogonalizes in bfloat16, one matrix at a time, and takes no learning rate from the device."""
    start = matrices((24, 8), (8, 24), (24, 8), (8, 8))
    expected = steps_of(lambda each: torch.optim.Muon(each, 0.1, weight_decay=0.5, momentum=0.9), start)
    actual = steps_of(lambda each: muon(each, dtype=torch.bfloat16), start)
    for end, other, begin in zip(actual, expected, start, strict=True):
        assert (end - other).norm() < 0.02 * (other - begin).norm()


def test_a_matrix_moves_in_bfloat16_about_as_in_float32():
    start = matrices((24, 8), (8, 8))
    ends = [
        steps_of(lambda each, dtype=dtype: muon(each, dtype=dtype), start) for dtype in (torch.float32, torch.bfloat16)
    ]
    for end, other, begin in zip(*ends, start, strict=True):
        assert 0 < (end - other).norm() < 0.05 * (other - begin).norm()


def test_stacked_matrices_move_as_matrices_of_their_own():
    [stacked] = matrices((24, 8))
    optimizers = []

    def make(parameters):
        optimizers.append(muon(parameters, num_matrices=3))
        return optimizers[-1]

    [together] = steps_of(make, [stacked])
    parts = [nn.Parameter(part.clone()) for part in stacked.chunk(3)]
    alone, generator = muon(parts), torch.Generator().manual_seed(1)
    for _ in range(4):
        for part, gradient in zip(parts, torch.randn(24, 8, generator=generator).chunk(3), strict=True):
            part.grad = gradient
        alone.step()
    torch.testing.assert_close(together, torch.cat([part.detach() for part in parts]))
    [whole] = steps_of(muon, [stacked])
    assert (whole - together).norm() > 0.1 * (together - stacked).norm()


def test_a_learning_rate_that_is_a_tensor_is_read_at_each_step():
    [start] = matrices((8, 8))
    parameter = nn.Parameter(start.clone())
    optimizer = muon([parameter], weight_decay=0.0)
    optimizer.param_groups[0]["lr"] = rate = torch.tensor(0.0)
    [parameter.grad] = matrices((8, 8), seed=1)
    optimizer.step()
    assert torch.equal(parameter, start)
    rate.fill_(0.1)
    optimizer.step()
    assert (parameter - start).norm().item() == pytest.approx(0.1 * math.sqrt(8), rel=0.2)


def test_orthogonalized_matrices_have_the_singular_vectors_of_the_matrices_and_values_near_1():
    stacks = [torch.stack(matrices(*[shape] * number)) for shape, number in (((24, 8), 2), ((8, 24), 1), ((24, 8), 3))]
    results = orthogonalize(stacks, 5, torch.float32)
    for stack, result in zip(stacks, results, strict=True):
        u, _, v = torch.linalg.svd(stack, full_matrices=False)
        inner = u.mT @ result @ v.mT
        diagonal = inner.diagonal(dim1=1, dim2=2)
        assert 0.65 < diagonal.min() <= diagonal.max() < 1.25
        assert (inner - torch.diag_embed(diagonal)).abs().max() < 1e-4


def test_a_matrix_without_a_gradient_stays_finite():
    [result] = orthogonalize([torch.zeros(1, 8, 8)], 5, torch.float32)
    assert torch.equal(result, torch.zeros(1, 8, 8))


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimizer.learning_rate=-1", "learning_rate=-1 must be a number of at least 0"),
        ("optimizer.learning_rate=fast", "learning_rate='fast' must be float"),
        ("optimizer.momentum=1", "momentum=1 must be at least 0 and below 1"),
        ("optimizer.num_iterations=0", "num_iterations=0 must be at least 1"),
        ("+optimizer.beta=1", "there is no argument 'beta'"),
        ("optimizer.name=muno", "unknown optimizer 'muno'; did you mean 'muon'?"),
    ],
)
def test_settings_that_mean_nothing_are_refused(override, named):
    config, objective = tiny_objective("optimizer=muon", override)
    assert named in refusal(build_optimizer, config, objective, CPU, torch.float32)
