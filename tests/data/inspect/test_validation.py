"""What is wrong with a dataset is found, each fault with its place; and nothing is found in one that is right."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.inspect.validation import KINDS, find_faults
from lewm.errors import InputError
from tests.data.damages import INSIDE
from tests.fakes import COUNTING_METADATA, counting_episode

LENGTHS = (4, 6, 5)


def write(path, change=lambda episodes: None, lengths=LENGTHS, **metadata):
    """Counting episodes after `change`, which gets a list of dicts of their arrays."""
    episodes = [counting_episode(number, length)._asdict() for number, length in enumerate(lengths)]
    change(episodes)
    with EpisodeWriter(path, replace(COUNTING_METADATA, **metadata)) as writer:
        for episode in episodes:
            writer.append(**episode)
    return path


def faults_of(path, num_replays=8):
    report = find_faults(path, num_replays, Progress(disable=True))
    assert {fault.kind for fault in report.faults} <= set(KINDS)
    return [(fault.kind, fault.message) for fault in report.faults]


def assert_found(path, kind, *words):
    """One fault of this kind holds all words, and all faults are of one line."""
    faults = faults_of(path)
    assert all("\n" not in message for _, message in faults)
    assert any(found == kind and all(word in message for word in words) for found, message in faults), faults


def test_nothing_is_wrong_with_a_dataset_as_it_was_written(tmp_path):
    assert faults_of(write(tmp_path / "data")) == []


def test_nothing_is_wrong_with_collected_data_played_again(two_room_data):
    assert faults_of(two_room_data.path, num_replays=12) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_is_found(tmp_path, value):
    def change(episodes):
        episodes[1]["actions"][3:5, 1] = value

    path = write(tmp_path / "data", change)
    assert_found(path, "action", "action 1 in row 3 of episode 1", f"{value:g}", "1 more rows")


def test_a_state_that_is_not_finite_is_found(tmp_path):
    def change(episodes):
        episodes[2]["states"][5, 0] = np.nan

    assert_found(write(tmp_path / "data", change), "state", "state 0 in row 5 of episode 2")


def test_an_action_out_of_the_bounds_of_the_environment_is_found(tmp_path):
    path = write(tmp_path / "data", action_high=[4.0, 255.0])
    assert [message for kind, message in faults_of(path) if kind == "bounds"] == [
        "action 0 in row 5 of episode 1 is 5; the environment takes 0 to 4"
    ]


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_bounds_are_checked_in_any_unit(tmp_path, unit):
    def change(episodes):
        for episode in episodes:
            episode["actions"] = (episode["actions"] * unit).astype(np.float32)

    bounds = {"action_low": [0.0, 0.0], "action_high": [4.0 * unit, 255.0 * unit]}
    path = write(tmp_path / "data", change, **bounds)
    assert [message[:33] for kind, message in faults_of(path) if kind == "bounds"] == [
        "action 0 in row 5 of episode 1 is"
    ]


def test_an_action_that_never_changes_is_found(tmp_path):
    def change(episodes):
        for episode in episodes:
            episode["actions"][:, 1] = 3

    assert faults_of(write(tmp_path / "data", change)) == [
        ("constant", "action 1 is 3 in every row of every episode: it never changes")
    ]


def test_an_action_that_is_constant_within_each_episode_only_is_none(tmp_path):
    def change(episodes):
        for number, episode in enumerate(episodes):
            episode["actions"][:, 1] = number

    assert faults_of(write(tmp_path / "data", change)) == []


def test_frames_that_never_change_are_found(tmp_path):
    def change(episodes):
        episodes[1]["pixels"][:] = 7
        episodes[2]["pixels"][:] = 7
        episodes[2]["pixels"][3, 2, 1, 0] = 8  # one that does, in the middle

    assert faults_of(write(tmp_path / "data", change)) == [
        ("frames", "the frames of episode 1 never change: rows 0 to 6 are the same")
    ]


def rewrite(path, name, change):
    array = np.load(path / f"{name}.npy")
    np.save(path / f"{name}.npy", change(array))


def cut(name, num_bytes):
    def damage(path):
        file = path / f"{name}.npy"
        file.write_bytes(file.read_bytes()[:num_bytes])

    return damage


def describe(**changes):
    def damage(path):
        described = json.loads((path / "metadata.json").read_text())
        (path / "metadata.json").write_text(json.dumps(described | changes))

    return damage


@pytest.mark.parametrize("name", ["pixels", "states", "actions", "lengths", "digests"])
def test_a_missing_file_is_found(tmp_path, name):
    path = write(tmp_path / "data")
    (path / f"{name}.npy").unlink()
    assert_found(path, "file", f"{name}.npy is missing")


@pytest.mark.parametrize("name", ["pixels", "states", "actions", "lengths", "digests"])
@pytest.mark.parametrize("num_bytes", [0, 5, 60])
def test_a_file_without_its_header_is_found(tmp_path, name, num_bytes):
    path = write(tmp_path / "data")
    cut(name, num_bytes)(path)
    assert_found(path, "file", f"{name}.npy ({num_bytes} bytes) has no header")


@pytest.mark.parametrize("name", ["pixels", "states", "actions", "lengths", "digests"])
def test_a_truncated_file_is_found_and_the_rest_looked_at(tmp_path, name):
    def change(episodes):
        episodes[0]["actions"][1, 0] = np.nan

    path = write(tmp_path / "data", change)
    cut(name, -3)(path)
    assert_found(path, "file", f"{name}.npy is truncated", "rows of")
    assert_found(path, "action", "action 0 in row 1 of episode 0")


def test_the_place_where_rows_run_out_is_named(tmp_path):
    path = write(tmp_path / "data")
    rewrite(path, "actions", lambda actions: actions[:7])
    assert_found(path, "length", "actions.npy ends in row 3 of episode 1", "7 rows", "15")


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (
            lambda path: rewrite(path, "lengths", lambda a: a + np.eye(3, dtype=int)[0]),
            "length",
            ["episode 2", "pixels.npy"],
        ),
        (lambda path: rewrite(path, "lengths", lambda a: a * [1, 0, 1]), "length", ["episode 1 has 0 actions"]),
        (lambda path: rewrite(path, "lengths", lambda a: a[:0]), "length", ["no episodes"]),
        (lambda path: rewrite(path, "states", lambda a: np.append(a, a, 0)), "length", ["states.npy", "36 rows"]),
        (lambda path: rewrite(path, "digests", lambda a: a[:2]), "length", ["2 digests", "3 episodes"]),
        (lambda path: rewrite(path, "pixels", lambda a: a.astype(np.float32)), "file", ["pixels.npy", "float32"]),
        (lambda path: rewrite(path, "actions", lambda a: a.ravel()), "file", ["actions.npy", "(30,)"]),
        (lambda path: rewrite(path, "actions", lambda a: a.repeat(2, 1)), "file", ["action_low has 2", "action 4"]),
        (lambda path: rewrite(path, "states", lambda a: a[:, :1]), "file", ["2 state_names", "1 number"]),
        (lambda path: rewrite(path, "pixels", lambda a: a.repeat(2, 1)), "file", ["frame_size is 4", "(8, 4, 3)"]),
        (lambda path: (path / "metadata.json").unlink(), "file", ["no metadata.json"]),
        (lambda path: (path / "metadata.json").write_text("{"), "file", ["metadata.json is missing or damaged"]),
        (lambda path: (path / "metadata.json").write_text("3"), "file", ["not a dataset"]),
        (describe(version=1), "file", ["version 1"]),
        (describe(metadata={}), "file", ["metadata.json is damaged", "env_id is missing"]),
        (describe(num_episodes=4), "length", ["num_episodes is 4", "3"]),
        (describe(num_frames=4), "length", ["num_frames is 4", "18"]),
        (describe(content_hash="0" * 64), "bytes", ["digests.npy", "content hash 000"]),
    ],
)
def test_what_does_not_belong_together_is_found(tmp_path, damage, kind, words):
    path = write(tmp_path / "data")
    damage(path)
    assert_found(path, kind, *words)


@pytest.mark.parametrize("name", ["pixels", "states", "actions", "digests"])
def test_a_changed_byte_is_found_with_its_episode(tmp_path, name):
    path = write(tmp_path / "data")
    row = {"pixels": 6, "states": 6, "actions": 5, "digests": 1}[name]  # of episode 1

    def change(array):
        array[row].reshape(-1).view(np.uint8)[-3] ^= 1
        return array

    rewrite(path, name, change)
    assert_found(path, "bytes", "episode 1", "digest differs")


@pytest.mark.parametrize("damage", INSIDE.values(), ids=INSIDE)
def test_whatever_a_reader_refuses_is_found(tmp_path, damage):
    path = write(tmp_path / "data", lengths=(3, 5))
    damage(path)
    with pytest.raises(InputError):
        Episodes(path)
    faults = faults_of(path)
    assert faults != []
    assert all("\n" not in message for _, message in faults)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no dataset"):
        find_faults(tmp_path / "data", 0, Progress(disable=True))


def test_an_empty_folder_is_found_wanting_file_by_file(tmp_path):
    assert [kind for kind, _ in faults_of(tmp_path)] == ["file"] * 6


# Playing again.


def edited(data, path, change):
    """A copy of a dataset whose episodes `change(number, episode)` has changed, written as if it were right."""
    with EpisodeWriter(path, data.metadata) as writer:
        for number, length in enumerate(data.lengths):
            frame, action = data.index.frame_offsets[number], data.index.action_offsets[number]
            rows = slice(frame, frame + length + 1)
            episode = [np.array(data.pixels[rows]), np.array(data.states[rows])]
            episode.append(np.array(data.actions[action : action + length]))
            change(number, episode)
            writer.append(*episode)
    return path


@pytest.mark.parametrize(("shift", "word"), [(1, "before"), (-1, "after")])
def test_actions_shifted_against_the_states_are_found(tmp_path, two_room_data, shift, word):
    def change(number, episode):
        if number == 3:
            episode[2] = np.roll(episode[2], -shift, 0)

    path = edited(two_room_data, tmp_path / "data", change)
    faults = faults_of(path, num_replays=12)
    assert [kind for kind, _ in faults] == ["replay"]
    assert faults[0][1].startswith("episode 3: its actions do not lead")
    assert f"the action of the row {word} leads there" in faults[0][1]


def test_a_state_that_was_changed_is_found_with_its_row(tmp_path, two_room_data):
    def change(number, episode):
        if number == 5:
            episode[1][7, 1] += 0.01

    path = edited(two_room_data, tmp_path / "data", change)
    assert [message for _, message in faults_of(path, 12) if "episode 5" in message and "row 7, state 1" in message]


@pytest.mark.parametrize(("shift", "word"), [(1, "after"), (-1, "before")])
def test_frames_shifted_against_the_states_are_found(tmp_path, two_room_data, shift, word):
    def change(number, episode):
        if number == 2:
            episode[0] = np.roll(episode[0], shift, 0)

    path = edited(two_room_data, tmp_path / "data", change)
    ((kind, message),) = faults_of(path, num_replays=12)
    assert kind == "replay" and "episode 2: its frames" in message and f"row {word}" in message


def test_a_state_that_the_environment_refuses_is_found(tmp_path, two_room_data):
    def change(number, episode):
        if number == 0:
            episode[1][0] = 112.0, 20.0  # inside the wall

    assert_found(edited(two_room_data, tmp_path / "data", change), "replay", "episode 0", "refuses", "wall")


def test_data_of_an_environment_that_cannot_be_made_are_told_of(tmp_path):
    report = find_faults(write(tmp_path / "data"), 8, Progress(disable=True))
    assert report.faults == []
    assert "tests/Counting-v0" in report.notes[0]


def test_nothing_that_a_dataset_names_is_imported(tmp_path):
    path = write(tmp_path / "data", env_id="antigravity:Any-v0")
    assert "antigravity" in find_faults(path, 8, Progress(disable=True)).notes[0]


def test_a_copy_has_the_faults_of_the_original(tmp_path, two_room_data):
    shutil.copytree(two_room_data.path, tmp_path / "copy")
    assert faults_of(tmp_path / "copy") == []
    assert Episodes(tmp_path / "copy").content_hash == two_room_data.content_hash
