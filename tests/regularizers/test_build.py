"""Regularizers from their configurations; what cannot be built is refused by name and value."""

import pytest

from lewm.regularizers import build_regularizer
from tests.programs import TINY, compose, refusal


@pytest.fixture(scope="module")
def config():
    return compose(*TINY)


def test_a_regularizer_has_the_arguments_of_its_configuration(config):
    assert build_regularizer(config.regularizer).num_directions == config.regularizer["num_directions"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "sigregg"}, ["regularizer", "'sigregg'", "'sigreg'"]),
        ({"num_direction": 3}, ["regularizer", "'num_direction'", "'num_directions'"]),
        ({"num_knots": 1}, ["num_knots=1"]),
        ({"num_directions": 0}, ["num_directions=0"]),
        ({"max_knot": -1.0}, ["max_knot=-1.0"]),
    ],
)
def test_a_regularizer_that_cannot_be_built_is_refused_by_name_and_value(config, changes, words):
    message = refusal(build_regularizer, config.regularizer | changes)
    for word in words:
        assert word in message
