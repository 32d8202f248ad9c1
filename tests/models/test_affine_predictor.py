"""SALT's predictor is the formula of its paper, and begins as that says."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lewm.errors import InputError
from lewm.models import AffinePredictor
from lewm.models.affine_predictor import skew_exponential
from lewm.training.model_spec import build_model
from tests.registries import read_model

DIM, RANK = 6, 3


def drawn(std=0.3):
    """A predictor none of whose weights is at its start, in float64."""
    torch.manual_seed(0)
    predictor = AffinePredictor(DIM, context=3, rank=RANK).double()
    for parameter in predictor.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return predictor


def embeddings():
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(2, 4, DIM, dtype=torch.float64, generator=generator) for _ in range(2))


def test_a_prediction_is_the_formula():
    predictor, (z, c) = drawn(), embeddings()
    u, v = (torch.linalg.matrix_exp(w - w.T) for w in (predictor.left, predictor.right))
    start = u @ torch.diag(predictor.gains.tanh()) @ v.T
    matrices = predictor.bilinear.weight.unflatten(1, (RANK, DIM)).unbind(1)  # N_r, each (D, D)
    predicted = predictor(z, c)
    for i, t in ((0, 0), (1, 3)):
        gates = predictor.mixing.weight @ c[i, t]
        transition = start + sum(gate * matrix for gate, matrix in zip(gates, matrices, strict=True))
        expected = transition @ z[i, t] + predictor.action.weight @ c[i, t] + predictor.action.bias
        torch.testing.assert_close(predicted[i, t], expected, rtol=1e-9, atol=1e-9)


def test_before_training_it_shrinks_the_embedding_a_little_whatever_the_action():
    predictor, (z, c) = AffinePredictor(DIM, context=3, rank=RANK).double(), embeddings()
    torch.testing.assert_close(predictor(z, c), math.tanh(3) * z)
    assert torch.equal(predictor(z, c), predictor(z, c + 1))


def test_without_the_bilinear_term_it_lengthens_no_embedding():
    predictor = drawn(std=2.0)
    norms = torch.linalg.svdvals(predictor.transition())
    torch.testing.assert_close(norms.sort().values, predictor.gains.tanh().abs().sort().values)
    assert norms.max() < 1 and norms.min() < 0.9


def test_every_weight_but_the_mixing_learns_from_the_first_step_on_and_that_from_the_second():
    torch.manual_seed(0)
    predictor, (z, c) = AffinePredictor(DIM, context=3, rank=RANK).double(), embeddings()
    optimizer = torch.optim.SGD(predictor.parameters(), lr=0.1)
    for without in ({"mixing.weight"}, set()):
        optimizer.zero_grad()
        (predictor(z, c) - z.flip(-1)).square().mean().backward()
        assert {name for name, p in predictor.named_parameters() if not p.grad.any()} == without
        optimizer.step()


@pytest.mark.parametrize("norm", [0.0, 1.0, 10.0, 32.0])
def test_the_exponential_is_that_of_the_definition_and_orthogonal(norm):
    generators = torch.randn(2, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    skew = generators - generators.mT
    generators = generators * norm / torch.linalg.matrix_norm(skew, 2).amax()
    expected = torch.linalg.matrix_exp(generators - generators.mT)
    actual = skew_exponential(generators)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        actual @ actual.mT, torch.eye(20, dtype=torch.float64).expand(2, -1, -1), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(skew_exponential(generators.float()), expected.float(), rtol=0, atol=1e-5)


def test_the_exponential_takes_a_fixed_number_of_products():
    counts = []
    for size in (1e-3, 10.0):
        with FlopCounterMode(display=False) as counter:
            skew_exponential(size * torch.randn(8, 8))
        counts.append(counter.get_total_flops())
    assert counts == [10 * 2 * 8**3] * 2


def test_the_transition_is_float32_under_autocast():
    predictor = AffinePredictor(DIM, context=3)
    torch.nn.init.normal_(predictor.left)
    expected = predictor.transition()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(predictor.transition(), expected)


def test_it_has_the_parameters_of_the_paper_and_no_projector_after_it():
    model = build_model(read_model("model=paper", "predictor=affine"), 224, action_dim=10)
    dim, rank = 192, 16
    expected = 2 * dim**2 + dim + rank * dim + rank * dim**2 + dim**2 + dim  # U, V, s, W_g, N, B, b
    assert sum(parameter.numel() for parameter in model.predictor.parameters()) == expected == 703_872
    assert list(model.predictor_projector.parameters()) == []


def test_a_rank_below_1_is_refused():
    with pytest.raises(InputError, match="rank=0 must be at least 1"):
        AffinePredictor(DIM, context=3, rank=0)
