"""Paired differences of success, and what may be compared."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import multinomial

from lewm.errors import InputError
from lewm.evaluation.comparison import Z, compare, comparison_table, read_results
from lewm.significance import paired_difference, second_only_share, tango, tango_score

COUNTS = [(12, 2, 50), (0, 0, 30), (5, 5, 40), (0, 7, 20), (1, 0, 1), (30, 0, 30), (3, 1, 200)]


@pytest.mark.parametrize(("first_only", "second_only", "num_pairs"), COUNTS)
@pytest.mark.parametrize("difference", [-0.5, -0.1, 0.0, 0.15, 0.6])
def test_the_share_of_the_second_alone_maximizes_the_likelihood(first_only, second_only, num_pairs, difference):
    share = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    with np.errstate(divide="ignore"):
        logs = np.log(np.stack([share + difference, share, 1 - difference - 2 * share]))
    counts = np.array([first_only, second_only, num_pairs - first_only - second_only])
    likelihood = np.where(counts[:, None] > 0, counts[:, None] * logs, 0.0).sum(0)
    best = share[likelihood.argmax()]
    assert second_only_share(difference, first_only, second_only, num_pairs) == pytest.approx(best, abs=2e-5)


@pytest.mark.parametrize(("first_only", "second_only", "num_pairs"), COUNTS)
def test_an_interval_holds_the_estimate_and_ends_where_the_score_is_1_96(first_only, second_only, num_pairs):
    low, high = tango(first_only, second_only, num_pairs)
    assert -1 <= low <= (first_only - second_only) / num_pairs <= high <= 1
    for end, wanted in ((low, Z), (high, -Z)):
        if abs(end) < 1:
            assert tango_score(end, first_only, second_only, num_pairs) == pytest.approx(wanted, abs=1e-6)


def test_the_score_of_no_difference_is_mcnemars():
    assert tango_score(0.0, 12, 2, 50) == pytest.approx(10 / math.sqrt(14))


@pytest.mark.parametrize("num_pairs", [5, 50, 200])
def test_where_no_pair_tells_them_apart_the_interval_is_that_of_no_events(num_pairs):
    half = Z**2 / (num_pairs + Z**2)
    assert tango(0, 0, num_pairs) == (pytest.approx(-half, abs=1e-9), pytest.approx(half, abs=1e-9))


@pytest.mark.parametrize(("first_only", "second_only", "num_pairs"), COUNTS)
def test_an_interval_turns_around_with_the_order(first_only, second_only, num_pairs):
    low, high = tango(first_only, second_only, num_pairs)
    assert tango(second_only, first_only, num_pairs) == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))


@pytest.mark.parametrize(("first", "second"), [(0.2, 0.1), (0.1, 0.1), (0.3, 0.1)])
def test_intervals_hold_the_true_difference_in_about_95_of_100_evaluations(first, second):
    num_pairs, probability = 50, 0.0
    for counts in itertools.product(range(32), range(20)):
        low, high = tango(*counts, num_pairs)
        if low <= first - second <= high:
            every = [*counts, num_pairs - sum(counts)]
            probability += multinomial.pmf(every, num_pairs, [first, second, 1 - first - second])
    assert 0.94 < probability < 0.97


def test_a_paired_difference_counts_the_pairs_that_only_one_solved():
    first, second = np.array([1, 1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 0, 0], bool)
    found = paired_difference(first, second)
    assert (found.num_pairs, found.first_only, found.second_only) == (6, 3, 1)
    assert found.difference == pytest.approx(2 / 6)
    assert found.p == pytest.approx(10 / 16)  # at most 1 of 4, on both sides


def test_no_pairs_have_no_difference():
    found = paired_difference(np.zeros(0, bool), np.zeros(0, bool))
    assert np.isnan([found.difference, found.low, found.high, found.p]).all()


def make_results(reached, solved=(), **changes):
    pairs = [
        {"episode": i, "step": 2 * i, "reached": bool(each), "at_end": bool(each), "solved_at_start": i in solved}
        for i, each in enumerate(reached)
    ]
    protocol = {"dataset_hash": "abc", "offset": 25, "budget": 50, "start": "recorded"}
    return {"identity": {"run": "a", "step": 1}, "protocol": protocol | changes, "pairs": pairs}


def test_strict_success_leaves_out_what_is_solved_at_the_start():
    found = compare(make_results([1, 1, 0, 1], solved={0}), make_results([1, 0, 0, 0], solved={0}))
    assert (found["success"].num_pairs, found["strict success"].num_pairs) == (4, 3)
    assert found["strict success"].difference == pytest.approx(2 / 3)


@pytest.mark.parametrize(("key", "value"), [("dataset_hash", "abd"), ("offset", 50), ("budget", 51), ("start", "rest")])
def test_another_protocol_is_refused_in_one_line(key, value):
    with pytest.raises(InputError, match=f"{key} is .* and {value}") as error:
        compare(make_results([1]), make_results([1], **{key: value}))
    assert "\n" not in str(error.value)


def test_other_pairs_are_refused():
    for first, second in itertools.permutations([[1, 0], [1, 0, 1]]):
        with pytest.raises(InputError, match="not the same"):
            compare(make_results(first), make_results(second))


def test_the_table_shows_rates_and_differences():
    grid = comparison_table(make_results([1, 1, 0, 1], solved={0}), make_results([1, 0, 0, 0], solved={0}))
    columns = {str(column.header): list(column.cells) for column in grid.columns}
    assert columns[""] == ["success", "strict success", "success at the end", "strict success at the end"]
    assert [cell.split("\n")[0] for cell in columns["first - second"][:2]] == ["+50.0%", "+66.7%"]
    assert columns["only one"][0] == "2 / 0"
    assert columns["second"][1].startswith("0.0%\n0.0 to ")


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_a_folder_without_results_is_refused_in_one_line(tmp_path, text):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=str(tmp_path)) as error:
        read_results(tmp_path)
    assert "\n" not in str(error.value)
