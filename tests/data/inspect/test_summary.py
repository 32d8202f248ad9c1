"""The summary of a dataset tells how its states and actions change."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.inspect import summary
from lewm.data.inspect.summary import movements, summary_tables
from tests.fakes import COUNTING_METADATA

NAMES = ["hand_x", "hand_y", "joint", "hand_velocity_x", "hand_velocity_y"]
METADATA = replace(COUNTING_METADATA, state_names=NAMES, angles=["joint"], velocities=NAMES[3:])


def write(path, states, actions):
    """A dataset of episodes of (L+1, 5) states and (L, 2) actions."""
    size = METADATA.frame_size
    with EpisodeWriter(path, METADATA) as writer:
        for state, action in zip(states, actions, strict=True):
            writer.append(np.zeros((len(state), size, size, 3), np.uint8), state, action)
    return Episodes(path)


@pytest.fixture
def data(tmp_path):
    """Two episodes: a hand that goes (3, 4) a step for 40 steps and rests for 40, and a joint that turns by 0.1."""
    steps = np.concatenate([np.arange(41), np.full(40, 40)])
    states = np.stack([3.0 * steps, 4.0 * steps, (0.1 * np.arange(81)) % (2 * np.pi), steps % 7, steps % 3], axis=1)
    actions = np.stack([np.arange(80) % 2, np.zeros(80)], axis=1)
    return write(tmp_path / "data", [states, states[:30]], [actions, actions[:29]])


def test_numbers_that_are_one_place_move_by_the_euclidean_distance_and_velocities_are_left_out(data):
    far, _ = movements(data, 1)
    assert list(far) == ["hand", "joint"]
    np.testing.assert_allclose(far["hand"], [*[5.0] * 40, *[0.0] * 40, *[5.0] * 29])


def test_an_angle_takes_the_shorter_way_round(data):
    np.testing.assert_allclose(movements(data, 1)[0]["joint"], 0.1)
    np.testing.assert_allclose(movements(data, 60)[0]["joint"], 2 * np.pi - 6.0)


def test_a_window_does_not_reach_into_the_next_episode(data):
    assert len(movements(data, 25)[0]["hand"]) == (81 - 25) + (30 - 25)


def test_a_place_stays_that_moves_by_less_than_a_hundredth_of_its_spread(data):
    _, stays = movements(data, 25)
    assert stays["hand"].sum() == 80 - 25 - 40 + 1
    assert not stays["joint"].any()


def test_the_tables_print_medians_and_shares(data):
    console = Console(width=120, file=io.StringIO(), record=True)
    for table in summary_tables(data):
        console.print(table)
    lines = [line.split() for line in console.export_text().splitlines()]
    hand, joint = movements(data, 25)[0]["hand"], movements(data, 25)[0]["joint"]
    assert ["hand", "5", f"{np.median(hand):.4g}", f"{100 * 16 / 61:.1f}%"] in lines
    assert ["joint", "0.1", f"{np.median(joint):.4g}", "0.0%"] in lines
    assert ["all", "together", "0.0%"] in lines
    assert next(line for line in lines if line[:2] == ["action", "0"])[-1] == "1"
    assert next(line for line in lines if line[:2] == ["action", "1"])[-1] == "0"


def test_episodes_shorter_than_a_window_have_no_movements_in_it(tmp_path):
    short = write(tmp_path / "short", [np.zeros((2, 5)), np.zeros((2, 5))], [np.zeros((1, 2))] * 2)
    console = Console(width=120, file=io.StringIO(), record=True)
    for table in summary_tables(short):
        console.print(table)
    assert ["hand", "0", "-", "-"] in [line.split() for line in console.export_text().splitlines()]


def test_of_many_windows_evenly_spaced_ones_are_looked_at(data, monkeypatch):
    whole = movements(data, 1)[0]["hand"]
    monkeypatch.setattr(summary, "MOST_WINDOWS", 10)
    np.testing.assert_array_equal(movements(data, 1)[0]["hand"], whole[np.linspace(0, 108, 10).astype(int)])
