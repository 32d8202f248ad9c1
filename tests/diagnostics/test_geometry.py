"""Distances between embeddings against distances between states."""

import math

import pytest
import torch

from lewm.diagnostics.geometry import distance_rank_correlation

STATES = 200 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ANGLE = 2 * math.pi * torch.rand(2000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
PERFECT = pytest.approx({"rank_correlation": 1.0, "rank_correlation_near": 1.0})


def circle(angle: torch.Tensor) -> torch.Tensor:
    return torch.cat([angle.cos(), angle.sin()], 1)


def test_embeddings_that_are_the_states_have_correlation_one() -> None:
    assert distance_rank_correlation(STATES / STATES.std(0), STATES) == PERFECT


def test_embeddings_without_the_states_have_correlation_near_zero() -> None:
    z = torch.randn(2000, 8, generator=torch.Generator().manual_seed(1))
    assert all(abs(value) < 0.1 for value in distance_rank_correlation(z, STATES).values())


def test_a_periodic_pattern_on_top_shows_in_the_near_pairs() -> None:
    smooth = STATES / STATES.std(0)
    periodic = torch.cat([smooth, 2 * circle(2 * math.pi * STATES / 25)], dim=1)
    assert (
        distance_rank_correlation(periodic, STATES)["rank_correlation_near"]
        < distance_rank_correlation(smooth, STATES)["rank_correlation_near"] - 0.2
    )


@pytest.mark.parametrize("shift", [0.0, -math.pi, 20 * math.pi])
def test_a_cos_sin_code_of_an_angle_has_correlation_one_whatever_range_it_is_kept_in(shift: float) -> None:
    assert distance_rank_correlation(circle(ANGLE), ANGLE + shift, angles=[0]) == PERFECT


def test_each_state_number_has_the_same_part_in_the_squared_distance() -> None:
    for angle in (ANGLE, 0.01 * ANGLE):  # all around, and a narrow range
        states = torch.cat([STATES, angle], 1)
        point = circle(angle)
        z = torch.cat([STATES / STATES.std(0), point / (point - point.mean(0)).square().sum(1).mean().sqrt()], 1)
        assert distance_rank_correlation(z, states, angles=[2])["rank_correlation"] > 0.9999


def test_an_angle_within_a_narrow_range_counts_like_any_other_number() -> None:
    narrow = torch.cat([STATES, 0.01 * ANGLE], 1)
    as_angle = distance_rank_correlation(STATES, narrow, angles=[2])
    as_number = distance_rank_correlation(STATES, narrow)
    assert as_angle == pytest.approx(as_number, abs=1e-3)


def test_near_pairs_are_the_tenth_with_the_nearest_states() -> None:
    line = torch.linspace(0, 1, 2000, dtype=torch.float64)[:, None]
    bent = line.clamp(max=0.9)  # equal to the states up to there
    assert distance_rank_correlation(bent, line)["rank_correlation_near"] < 0.95
    assert distance_rank_correlation(bent, line, near_share=1.0)["rank_correlation_near"] == pytest.approx(
        distance_rank_correlation(bent, line)["rank_correlation"]
    )


def test_collapsed_embeddings_have_correlation_zero() -> None:
    assert distance_rank_correlation(torch.ones(2000, 4), STATES) == {
        "rank_correlation": 0.0,
        "rank_correlation_near": 0.0,
    }


def test_recordings_without_states_have_no_geometry() -> None:
    assert distance_rank_correlation(torch.ones(20, 4), torch.zeros(20, 0)) == {}
