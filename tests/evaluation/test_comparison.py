"""Comparison of two evaluations: paired differences of success, and evaluations that cannot be compared."""

import itertools

import pytest

from lewm.errors import InputError
from lewm.evaluation.comparison import compare, comparison_table, read_planning_results


def make_results(reached, solved=(), episodes=None, **changes):
    episodes = range(len(reached)) if episodes is None else episodes
    pairs = [
        {
            "episode": episodes[i],
            "step": 2 * i,
            "reached": bool(each),
            "at_end": bool(each),
            "solved_at_start": i in solved,
        }
        for i, each in enumerate(reached)
    ]
    protocol = {"dataset_hash": "abc", "offset": 25, "budget": 50, "start": "recorded"}
    return {"identity": {"run": "a", "step": 1}, "protocol": protocol | changes, "pairs": pairs}


def test_strict_success_leaves_out_what_is_solved_at_the_start():
    found = compare(make_results([1, 1, 0, 1], solved={0}), make_results([1, 0, 0, 0], solved={0}))
    assert (found["success"].num_pairs, found["strict success"].num_pairs) == (4, 3)
    assert found["strict success"].difference == pytest.approx(2 / 3)


def test_pairs_of_one_episode_are_one_cluster():
    reached, episodes = [1] * 12, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    found = compare(make_results(reached, episodes=episodes), make_results([0] * 12, episodes=episodes))["success"]
    assert (found.num_pairs, found.num_clusters) == (12, 3)
    assert found.p == pytest.approx(0.25)  # of the 8 flips of three equal sums, 2 are as far apart
    columns = comparison_table(
        make_results(reached, episodes=episodes), make_results(reached, episodes=episodes)
    ).columns
    assert columns[1]._cells[0] == "100.0%\n43.9 to 100.0%"  # of 3 episodes, not of 12 pairs


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
        read_planning_results(tmp_path)
    assert "\n" not in str(error.value)
