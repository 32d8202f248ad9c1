"""The table on the screen, the picture, and the films in videos/."""

import numpy as np
import pytest
from rich.console import Console

from lewm.data.convert.importers.video import decode
from lewm.errors import InputError
from lewm.evaluation.play import Outcome
from lewm.report.media import save_film, side_by_side
from lewm.report.summary import print_results, save_overview, save_videos, table
from tests.evaluation.finished import make_results

NUM_PAIRS, BUDGET, SIZE = 4, 6, 50


class Painter:
    """Draws a state (x,) as a frame of that brightness, and remembers the states."""

    def __init__(self):
        self.drawn = []

    def draw(self, states):
        self.drawn.append(states)
        return np.repeat(states.astype(np.uint8), SIZE * SIZE * 3, -1).reshape(len(states), SIZE, SIZE, 3)


def make_outcome(reached):
    """Episodes that brighten by 10 each step from 20 times the number of the pair; goals are white."""
    states = 20.0 * np.arange(NUM_PAIRS)[:, None, None] + 10.0 * np.arange(BUDGET + 1)[:, None]
    reached = np.array(reached)
    return Outcome(
        reached=reached,
        at_end=reached,
        solved_at_start=np.zeros(NUM_PAIRS, bool),
        states=states,
        goal_states=np.full((NUM_PAIRS, 1), 255.0),
        first_success=np.where(reached, 3, -1),
        num_steps=np.full(NUM_PAIRS, BUDGET),
        distances=255.0 - states[..., 0],
    )


@pytest.mark.parametrize("size", [48, 49, 64, 97, 224])
def test_films_have_even_sides_and_frames_of_at_least_a_tile(size):
    still = np.zeros((size, size, 3), np.uint8)
    film = side_by_side(still, np.zeros((5, size, size, 3), np.uint8), still)
    assert film.shape[1] % 2 == film.shape[2] % 2 == 0
    assert film.shape[1] >= 128
    assert film.shape[2] > 3 * film.shape[1]


def test_a_film_shows_start_achieved_and_goal(tmp_path):
    names = save_videos(make_outcome([False] * NUM_PAIRS), [0, 1], Painter(), tmp_path / "videos")
    assert names == ["pair_000_failed.mp4", "pair_001_failed.mp4"]
    frames = np.stack(list(decode(tmp_path / "videos" / names[1])))
    assert len(frames) == BUDGET + 1
    third = frames.shape[2] // 6
    brightness = frames[:, 60, [third, 3 * third, 5 * third], 0].astype(int)
    np.testing.assert_allclose(brightness[:, 0], 20, atol=3)
    np.testing.assert_allclose(brightness[:, 1], 20 + 10 * np.arange(BUDGET + 1), atol=3)
    np.testing.assert_allclose(brightness[:, 2], 255, atol=3)


def test_films_of_an_earlier_evaluation_are_removed(tmp_path):
    (tmp_path / "pair_003_reached.mp4").write_bytes(b"")
    copy = "pair_003_reached (copy).mp4"
    for name in ("notes.txt", copy):
        (tmp_path / name).write_text("kept")
    save_videos(make_outcome([True, False, True, True]), [1], Painter(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "pair_001_failed.mp4", copy]


def test_a_film_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*nowhere/film\.mp4: .*No such file"):
        save_film(np.zeros((2, 48, 48, 3), np.uint8), tmp_path / "nowhere" / "film.mp4")


def test_the_picture_is_drawn_for_a_baseline_too(tmp_path):
    results = make_results([True] * NUM_PAIRS, [False] * NUM_PAIRS, policy={"name": "expert"})
    save_overview(results, make_outcome([True] * NUM_PAIRS), Painter(), tmp_path / "overview.png")
    assert (tmp_path / "overview.png").stat().st_size > 10_000


def test_the_picture_shows_the_pairs_whose_goals_the_environment_measures_farthest(tmp_path):
    outcome, artist, results = make_outcome([True] * NUM_PAIRS), Painter(), make_results([True] * 4, [False] * 4)
    farthest_last = outcome._replace(distances=outcome.distances[::-1])  # by the norm the first pair is farthest
    save_overview(results, farthest_last, artist, tmp_path / "overview.png", num_rows=2)
    assert [states[0, 0] for states in artist.drawn[::2]] == [60.0, 40.0]


def test_the_table_has_the_rates_and_the_distance_of_every_policy():
    results = make_results([True, False, True], [False, False, True])
    for number, row in enumerate([results["model"], *results["baselines"].values()]):
        row["final_distance"] = 0.125 + number
    console = Console(width=200, record=True)
    console.print(table(results))
    text = console.export_text()
    assert "two_room: 3 test pairs, 2 unsolved at the start" in text
    cells = [[cell.strip() for cell in line.split("│")] for line in text.splitlines() if "│" in line]
    assert [row[0] for row in cells] == ["model", "random", "no_op", "replay"]
    assert cells[0] == ["model", "66.7%", "50.0%", "9.5 to 90.5%", "0.0%", "0.0 to 65.8%", "0.125"]
    assert [row[-1] for row in cells] == ["0.125", "1.12", "2.12", "3.12"]


def test_the_table_of_a_model_fits_a_terminal_of_80_columns():
    results = make_results([True] * 172 + [True] * 28, [False] * 172 + [True] * 28)
    results["model"] |= dict.fromkeys(("success", "strict_success_at_end"), results["baselines"]["replay"]["success"])
    for row in (results["model"], *results["baselines"].values()):
        row["final_distance"] = 1.234e-05
    console = Console(width=80, record=True)
    console.print(table(results))
    rows = [line.split("│") for line in console.export_text().splitlines() if "│" in line]
    assert len(rows) == 4
    assert [cell.strip() for cell in rows[0][4:6]] == ["100.0%", "98.1 to 100.0%"]


def test_the_printed_results_say_in_one_line_which_model_was_evaluated(tmp_path):
    name = "two_room_with_a_name_that_says_all_there_is_to_say"
    identity = {"run": name, "weights_hash": "0123456789abcdef", "dataset_hash": "fedcba9876543210"}
    results = make_results([True, False], [False, False], **identity)
    for row in (results["model"], *results["baselines"].values()):
        row["final_distance"] = 1.0
    console = Console(width=80, record=True)
    print_results(results, tmp_path, console)
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert f"model: {name}, step 300, weights 0123456789ab, data fedcba987654" in lines
