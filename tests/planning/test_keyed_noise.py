"""Noise of many episodes at once: normal, independent, and of each episode's own seed alone."""

import pytest
import torch
from scipy import stats

from lewm.planning import keyed_noise, noise
from lewm.planning.keyed_noise import KeyedNoise
from lewm.planning.noise import draw_coloured, draw_normal
from tests.fake_gpu import fake_gpu
from tests.planning.quadratics import Quadratic
from tests.planning.test_planners import EPISODES, HORIZON, SEARCHING, WIDTH, make_planner
from tests.registries import PLANNER_CONFIGS

NUM_ROWS, NUM = 64, 20_000


def keyed(*seeds, device="cpu"):
    return KeyedNoise(torch.tensor(seeds, dtype=torch.int64, device=device))


@pytest.fixture(scope="module")
def rows():
    """(64, 20000) numbers of seeds that differ by 1, which a bad generator would mix up."""
    return keyed(*range(NUM_ROWS)).draw((NUM,)).double()


def test_its_numbers_are_normal(rows):
    # Of 64 tests the smallest p-value is below 0.0001 in 0.6% of the cases, if all are normal.
    assert min(stats.kstest(row.numpy(), "norm").pvalue for row in rows) > 1e-4
    total = rows.numel()
    assert abs(rows.mean()) < 4 / total**0.5
    assert abs(rows.var() - 1) < 4 * (2 / total) ** 0.5
    assert abs(rows.pow(3).mean()) < 4 * (15 / total) ** 0.5
    assert abs(rows.pow(4).mean() - 3) < 4 * (96 / total) ** 0.5


def test_its_tails_are_as_long_as_a_normal_distributions(rows):
    for limit in (3.0, 4.0):
        expected = rows.numel() * 2 * stats.norm.sf(limit)
        assert abs((rows.abs() > limit).sum().item() - expected) < 4 * expected**0.5


def test_its_rows_are_independent(rows):
    correlation = torch.corrcoef(rows)[*torch.triu_indices(NUM_ROWS, NUM_ROWS, 1)]
    assert correlation.abs().max() < 5 / NUM**0.5  # of 2016 pairs, 0.1% of the cases
    squares = torch.corrcoef(rows.square())[*torch.triu_indices(NUM_ROWS, NUM_ROWS, 1)]
    assert squares.abs().max() < 5 / NUM**0.5


@pytest.mark.parametrize("lag", [1, 2, 3, 50, 3950])
def test_the_numbers_of_a_row_are_independent(rows, lag):
    num = NUM_ROWS * (NUM - lag)
    assert abs((rows[:, lag:] * rows[:, :-lag]).mean()) < 4 / num**0.5
    assert abs(((rows[:, lag:].square() - 1) * (rows[:, :-lag].square() - 1)).mean() / 2) < 4 / num**0.5


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 5, 2**63 - 1])
def test_a_row_is_a_function_of_its_own_seed(seed):
    alone, together = keyed(seed).draw((5, 3)), keyed(7, seed, 8).draw((5, 3))
    assert torch.equal(together[1:2], alone)
    assert len(together.flatten().unique()) == together.numel()


def test_draws_go_on_where_the_last_one_ended():
    pieces, whole = keyed(3, 4), keyed(3, 4).draw((10,))
    assert torch.equal(torch.cat([pieces.draw((4,)), pieces.draw((2, 3)).flatten(1)], dim=1), whole)


def test_no_number_is_infinite():
    largest = torch.tensor([2**63 - 1, -(2**63)]).to(torch.float32) * 2**-63
    assert largest.abs().tolist() == [1, 1]  # whose inverse is infinite
    limits = torch.erfinv(largest.clamp(-keyed_noise.LARGEST, keyed_noise.LARGEST))
    assert limits.isfinite().all() and (limits.abs() > 3.5).all()


def test_the_hash_is_that_of_splitmix64():
    # The first outputs for the seed 1234567, as of Vigna's splitmix64.c.
    state = 1234567 + torch.arange(1, 4) * keyed_noise.INCREMENT
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [number % 2**64 for number in keyed_noise._mix(state).tolist()] == expected


def test_shapes_and_types_are_those_of_other_noise():
    like = torch.zeros(2, 3, 4, dtype=torch.float64)
    assert draw_normal((5, 3), keyed(1, 2), like).shape == (2, 5, 3)
    coloured = draw_coloured(7, keyed(1, 2), like, torch.zeros(2, 2), 1.0)
    assert (coloured.shape, coloured.dtype) == ((2, 7, 3, 4), torch.float64)
    assert draw_coloured(0, keyed(1, 2), like, torch.zeros(4), 1.0).shape == (2, 0, 3, 4)


@pytest.fixture
def target():
    return 0.8 * (2 * torch.rand(EPISODES, HORIZON, WIDTH, generator=torch.Generator().manual_seed(0)) - 1)


@pytest.mark.parametrize("name", SEARCHING)
def test_every_planner_finds_the_optimum_with_it(name, target):
    plan = make_planner(name)(Quadratic(target), torch.zeros_like(target), generator=keyed(1, 2, 3))
    assert (plan.actions - target).abs().max() < 0.2


@pytest.mark.parametrize("name", PLANNER_CONFIGS)
def test_a_plan_does_not_depend_on_the_neighbours_in_the_batch(name, target):
    planner, mean = make_planner(name), torch.zeros_like(target)
    together = planner(Quadratic(target), mean, generator=keyed(1, 2, 3))
    alone = planner(Quadratic(target[1:2]), mean[1:2], generator=keyed(2))
    torch.testing.assert_close(alone.actions[0], together.actions[1])


WITHOUT_GRADIENTS = [name for name in PLANNER_CONFIGS if "learning_rate" not in PLANNER_CONFIGS[name]]
"""Autograd asks for the GPU itself."""


@pytest.mark.parametrize("name", WITHOUT_GRADIENTS)
def test_a_search_never_waits_for_the_gpu(name):
    with fake_gpu(noise, keyed_noise) as copies:
        low, high = (value * torch.ones(WIDTH, device="cuda") for value in (-1, 1))
        target = torch.zeros(EPISODES, HORIZON, WIDTH, device="cuda")
        plan = make_planner(name, low, high)(Quadratic(target), target, generator=keyed(1, 2, 3, device="cuda"))
        assert plan.actions.is_cuda
        assert copies.num_back == 0
