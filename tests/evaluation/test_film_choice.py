"""Choice of the pairs that are filmed."""

import numpy as np
import pytest

from lewm.evaluation.film_choice import choose_films, failures_first


def test_failures_come_first_and_what_was_solved_at_the_start_last():
    assert failures_first([True, False, True, False], [False, False, True, False]) == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("reached", "solved", "num_films", "chosen"),
    [
        ("0000000011", "0000000000", 8, [0, 1, 2, 3, 4, 5, 8, 9]),  # a quarter of the places is kept for successes
        ("0000000001", "0000000000", 8, [0, 1, 2, 3, 4, 5, 6, 9]),
        ("1111111111", "0000000000", 3, [0, 1, 2]),
        ("1011111111", "0100000000", 3, [0, 2, 3]),
        ("0111111111", "0000000000", 4, [0, 1, 2, 3]),
        ("0000000000", "0000000000", 3, [0, 1, 2]),
        ("0000000011", "0000000000", 1, [0]),
        ("0000000011", "0000000000", 0, []),
        ("1111111111", "1111111111", 3, []),
        ("01", "00", 8, [0, 1]),
    ],
)
def test_failures_are_filmed_first_and_successes_have_a_quarter_of_the_places(reached, solved, num_films, chosen):
    flags = (np.array([letter == "1" for letter in word]) for word in (reached, solved))
    assert choose_films(*flags, num_films) == chosen
