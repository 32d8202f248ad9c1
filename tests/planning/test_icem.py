import pytest
import torch

from lewm.planning.icem import ICEM
from tests.planning.quadratics import Quadratic, generators

BOUNDS = {"low": torch.full((2,), -5.0), "high": torch.full((2,), 5.0)}
SMALL = {"num_samples": 40, "num_elites": 4, "num_kept": 2, "num_iterations": 4, "population_decay": 1.25}
SMALL |= {"std": 1.0, "min_std": 0.0, "momentum": 0.0, "noise_exponent": 0.0}


def search(target, **changes):
    """What the cost was shown, and the iterations."""
    icem, cost, seen = ICEM(**BOUNDS, **SMALL | changes), Quadratic(target), []
    icem(cost, torch.zeros_like(target), generator=generators(*range(len(target))), on_iteration=seen.append)
    return cost, seen


def test_the_population_shrinks_by_its_factor_down_to_twice_the_elites():
    cost, _ = search(torch.ones(1, 2, 2), num_iterations=9)
    sizes = [costs.shape[1] for costs in cost.costs]
    assert sizes == [40, 32, 25, 20, 16, 13, 10, 8, 8, 1]  # 40 / 1.25^i; in the end the mean


def test_the_population_never_exceeds_the_samples_asked_for():
    cost, _ = search(torch.ones(1, 2, 2), num_samples=5, num_iterations=2)
    assert [costs.shape[1] for costs in cost.costs] == [5, 5, 1]


def test_a_decay_of_1_keeps_the_population():
    cost, _ = search(torch.ones(1, 2, 2), population_decay=1.0)
    assert [costs.shape[1] for costs in cost.costs] == [40, 40, 40, 40, 1]


def refitted(cost, num_kept):
    """The mean after the second iteration, from what was shown to the cost in the first two."""
    first, second = (
        sorted(zip(costs[0].tolist(), candidates[0], strict=True), key=lambda pair: pair[0])
        for costs, candidates in zip(cost.costs[:2], cost.candidates[:2], strict=True)
    )
    elites = sorted(first[:num_kept] + second, key=lambda pair: pair[0])[:4]
    return torch.stack([candidate for _, candidate in elites]).mean(0)


@pytest.mark.parametrize("num_kept", [0, 2, 4])
def test_kept_elites_compete_in_the_next_iteration(num_kept):
    cost, seen = search(torch.full((1, 3, 2), 2.0), num_kept=num_kept, std=0.3)
    torch.testing.assert_close(seen[1].mean[0], refitted(cost, num_kept))


def test_kept_elites_make_a_difference():
    cost, _ = search(torch.full((1, 3, 2), 0.1), num_kept=4)
    assert not torch.equal(refitted(cost, 4), refitted(cost, 0))


def test_a_kept_elite_is_not_evaluated_twice():
    cost, _ = search(torch.ones(1, 2, 2))
    shown = torch.cat(cost.candidates, 1)[0].flatten(1)
    assert len(shown.unique(dim=0)) == len(shown)


def test_momentum_keeps_its_share_of_the_mean_and_of_the_spread():
    target = torch.ones(1, 2, 2)
    (_, (new, *_)), (_, (slow, *_)) = (search(target, momentum=momentum) for momentum in (0.0, 0.25))
    torch.testing.assert_close(slow.mean, 0.75 * new.mean)  # the search starts at 0
    torch.testing.assert_close(slow.std, 0.25 * torch.ones_like(new.std) + 0.75 * new.std)


def test_its_candidates_have_the_colour_asked_for():
    cost, _ = search(torch.zeros(1, 16, 2), num_samples=2000, noise_exponent=2.0, num_iterations=1)
    power = torch.fft.rfft(cost.candidates[0][0, 1:].movedim(1, -1)).abs().square().mean((0, 1))
    # Of 4000 sequences each power is known to 2%.
    assert (power[1] / power[4]).item() == pytest.approx(4**2, rel=0.1)


def test_the_colour_runs_through_the_raw_actions_of_all_blocks():
    bounds = {"low": torch.full((4, 1), -5.0), "high": torch.full((4, 1), 5.0)}
    cost = Quadratic(torch.zeros(1, 4, 4))
    icem = ICEM(**bounds, **SMALL | {"num_samples": 4000, "noise_exponent": 2.0, "num_iterations": 1})
    icem(cost, torch.zeros(1, 4, 4), generator=generators(0))
    raw = cost.candidates[0][0, 1:].flatten(1)  # 4 blocks of 4 raw actions of one number
    power = torch.fft.rfft(raw).abs().square().mean(0)
    assert (power[1] / power[4]).item() == pytest.approx(4**2, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_kept": 5}, "num_kept=5 must be between 0 and num_elites=4"),
        ({"population_decay": 0.9}, "population_decay=0.9 must be at least 1"),
        ({"momentum": 1.0}, "momentum=1.0 must be at least 0 and below 1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        ICEM(**BOUNDS, **SMALL | changes)
