"""Distances between embeddings against distances between states."""

import numpy as np
import pytest

from lewm.diagnostics.geometry import distance_rank_correlation

STATES = np.random.default_rng(0).uniform(0, 200, (2000, 2))


def test_embeddings_that_are_the_states_have_correlation_one() -> None:
    scaled = STATES / STATES.std(0)
    assert distance_rank_correlation(scaled, STATES) == pytest.approx(
        {"rank_correlation": 1.0, "rank_correlation_near": 1.0}
    )


def test_embeddings_without_the_states_have_correlation_near_zero() -> None:
    z = np.random.default_rng(1).standard_normal((2000, 8))
    assert all(abs(value) < 0.1 for value in distance_rank_correlation(z, STATES).values())


def test_a_periodic_pattern_on_top_shows_in_the_near_pairs() -> None:
    angle = 2 * np.pi * STATES / 25
    smooth = STATES / STATES.std(0)
    periodic = np.concatenate([smooth, 2 * np.cos(angle), 2 * np.sin(angle)], axis=1)
    assert (
        distance_rank_correlation(periodic, STATES)["rank_correlation_near"]
        < distance_rank_correlation(smooth, STATES)["rank_correlation_near"] - 0.2
    )


def test_collapsed_embeddings_have_correlation_zero() -> None:
    assert distance_rank_correlation(np.ones((2000, 4)), STATES) == {
        "rank_correlation": 0.0,
        "rank_correlation_near": 0.0,
    }
