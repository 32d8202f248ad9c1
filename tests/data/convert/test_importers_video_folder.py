"""A folder of mp4 and CSV, written here and read back."""

import re

import numpy as np
import pytest

from lewm.data.convert.importers import VideoFolderSource
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError
from tests.data.films import LENGTHS, assert_recorded, frames_of, write_video

# imageio writes these videos; it leaves closing its pipes to the collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

KEPT = Resize()


def write_folder(path, header="action_x,state_number,note,state_row", shape=(32, 32)):
    for number, length in enumerate(LENGTHS):
        write_video(path / f"take{number}.mp4", frames_of(number, length, *shape))
        rows = [f"{100 * number + row},{number},hello,{row}" for row in range(length)]
        (path / f"take{number}.csv").write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_pair_of_files_is_an_episode(tmp_path):
    source = VideoFolderSource(write_folder(tmp_path / "takes"), KEPT)
    assert source.metadata.state_names == ["state_number", "state_row"]
    assert (source.metadata.action_low, source.metadata.action_high) == ([0], [202])
    assert_recorded(source)


def test_columns_can_be_named(tmp_path):
    path = write_folder(tmp_path / "takes", header="speed,n,note,t")
    assert_recorded(VideoFolderSource(path, KEPT, action_columns="speed", state_columns="n,t"))
    assert VideoFolderSource(path, KEPT, action_columns="speed").metadata.state_names == []


def test_frames_of_a_folder_are_padded(tmp_path):
    source = VideoFolderSource(write_folder(tmp_path / "takes", shape=(24, 32)), Resize(16, "pad"))
    for number, episode in enumerate(source):
        assert episode.pixels.shape[1:] == (16, 16, 3)
        assert episode.pixels[:, 0].max() <= 6
        np.testing.assert_allclose(
            episode.pixels[:, 8].mean((1, 2)), frames_of(number, LENGTHS[number])[:, 0, 0, 0], atol=3
        )


def rewrite(path, change):
    """Changes the lines of a CSV, the header among them."""
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "header",
    [
        '"action_x", "state_number","note", "state_row"',
        "action_x, state_number ,note,state_row",
        "# action_x,state_number,note,state_row",
        "\ufeffaction_x,state_number,note,state_row",
    ],
)
def test_blanks_quotes_and_marks_of_a_header_are_no_part_of_its_names(tmp_path, header):
    assert_recorded(VideoFolderSource(write_folder(tmp_path / "takes", header=header), KEPT))


def test_blank_lines_are_ignored(tmp_path):
    path = write_folder(tmp_path / "takes")
    rewrite(path / "take1.csv", lambda lines: (lines.insert(0, ""), lines.insert(4, "  "), lines.append("\n")))
    assert_recorded(VideoFolderSource(path, KEPT))


@pytest.mark.parametrize("action", ["", "None", "nan", "stop"])
def test_the_action_of_the_last_row_is_not_read(tmp_path, action):
    path = write_folder(tmp_path / "takes")

    def change(lines):
        lines[-1] = ",".join([action, *lines[-1].split(",")[1:]])

    rewrite(path / "take1.csv", change)
    assert_recorded(VideoFolderSource(path, KEPT))


def test_booleans_are_0_and_1(tmp_path):
    path = write_folder(tmp_path / "takes", header="speed,state_number,action_closed,state_row")
    for file in path.glob("*.csv"):
        file.write_text(file.read_text().replace("hello", "False").replace("False", "True", 2))
    episodes = list(VideoFolderSource(path, KEPT))
    assert [episode.actions[:, 0].tolist() for episode in episodes] == [[1, 1, 0, 0], [1, 1, *[0] * 6], [1, 1, 0]]


def test_files_of_the_system_are_ignored(tmp_path):
    path = write_folder(tmp_path / "takes")
    for name in ("._take0.mp4", "._take0.csv", ".take9.csv"):
        (path / name).write_bytes(b"\x00\x05\x16\x07")
    assert_recorded(VideoFolderSource(path, KEPT))


def test_the_columns_that_are_taken_and_those_that_are_not_are_told(tmp_path):
    source = VideoFolderSource(write_folder(tmp_path / "takes"), KEPT)
    assert source.notes == ["actions: action_x; states: state_number, state_row; left out: note"]
    source = VideoFolderSource(source.path, KEPT, state_columns="none")
    assert source.notes == ["actions: action_x; states: none; left out: note, state_number, state_row"]


def replace_in(name, old, new):
    def damage(path):
        (path / name).write_text((path / name).read_text().replace(old, new))

    return damage


DAMAGES = [
    (lambda path: (path / "take1.csv").unlink(), r"take1\.mp4 and no take1\.csv"),
    (lambda path: (path / "take1.mp4").unlink(), r"take1\.csv and no take1\.mp4"),
    (lambda path: (path / "take1.mp4").write_bytes(b""), r"take1\.mp4 is not a whole video"),
    (replace_in("take1.csv", "108,1,hello,8\n", ""), r"episode 1: .* 9 frames and take1\.csv 8 rows"),
    (replace_in("take1.csv", "103,1", "fast,1"), "row 3 of episode 1 .* not a number in each of action_x"),
    (replace_in("take1.csv", "103,1", "None,1"), "row 3 of episode 1 .* not a number"),
    (replace_in("take1.csv", "103,1", "nan,1"), "action 0 in row 3 of episode 1 .* nan"),
    (replace_in("take1.csv", "103,1", ",1"), "action 0 in row 3 of episode 1 .* nan"),
    (replace_in("take1.csv", "103,1,hello,3", "103,1"), "row 3 of episode 1 .* has 2 cells, and the header 4"),
    (replace_in("take1.csv", "103,1,hello,3", "103,1,hello,3,4"), "row 3 of episode 1 .* has 5 cells"),
    (replace_in("take1.csv", "108,1,hello,8", "108,1,he"), "row 8 of episode 1 .* has 3 cells"),
    (replace_in("take1.csv", "103,1,hello,3", '103,1,"hello,3'), "row 3 of episode 1 .* cells"),
    (replace_in("take1.csv", "108,1,hello,8", "108,one,hello,8"), "row 8 of episode 1"),
    (replace_in("take1.csv", "108,1,hello,8", "108,None,hello,8"), "row 8 of episode 1"),
    (replace_in("take1.csv", "state_row", "row"), r"take1\.csv has no column 'state_row'"),
    (replace_in("take1.csv", "note", "action_x"), r"take1\.csv has two columns 'action_x'"),
    (replace_in("take1.csv", "note", '\t"note"'), r"take1\.csv has a column .* quotation marks"),
    (replace_in("take1.csv", "action_x,", ""), "row 0 of episode 1 .* has 4 cells, and the header 3"),
    (lambda path: (path / "take1.csv").write_text(""), r"take1\.csv has no column"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_folder_that_is_not_whole_is_refused_in_one_line(tmp_path, damage, message):
    path = write_folder(tmp_path / "takes")
    damage(path)
    with pytest.raises(InputError, match=message) as error:
        list(VideoFolderSource(path, KEPT))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_an_episode_that_cannot_be_read_is_left_out_counted_and_named(tmp_path, damage, message):
    path = write_folder(tmp_path / "takes")
    damage(path)
    source = VideoFolderSource(path, KEPT, skip=True)
    assert [episode.states[0, 0] for episode in source] == [0, 2]
    assert source.notes[-1] == "1 of 3 episodes left out"
    assert re.search(message, source.notes[-2])


def test_the_first_episode_may_be_one_that_is_left_out(tmp_path):
    path = write_folder(tmp_path / "takes")
    (path / "take0.csv").write_text("speed,speed\n1,2\n")
    source = VideoFolderSource(path, KEPT, skip=True)
    assert [episode.states[0, 0] for episode in source] == [1, 2]
    (path / "take1.mp4").write_bytes(b"")
    source = VideoFolderSource(path, KEPT, skip=True)
    assert [episode.states[0, 0] for episode in source] == [2]


def test_an_episode_of_one_row_is_left_out_as_in_every_format(tmp_path):
    path = write_folder(tmp_path / "takes")
    rewrite(path / "take1.csv", lambda lines: lines.__delitem__(slice(2, None)))
    source = VideoFolderSource(path, KEPT)
    assert [episode.states[0, 0] for episode in source] == [0, 2]
    assert source.notes[1:] == [
        f"left out: {path / 'take1.csv'} has 1 rows: an episode has at least 2, with an action between them",
        "1 of 3 episodes left out",
    ]


def test_a_folder_of_which_nothing_can_be_read_is_refused(tmp_path):
    path = write_folder(tmp_path / "takes")
    for file in path.glob("*.csv"):
        file.write_text(file.read_text().replace("hello,2", "hello"))
    with pytest.raises(InputError, match=r"row 2 of episode 0 .* has 3 cells"):
        VideoFolderSource(path, KEPT, skip=True)
    for file in path.iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"no \.mp4 and \.csv"):
        VideoFolderSource(path, KEPT, skip=True)


def test_a_column_that_is_asked_for_twice_is_refused(tmp_path):
    path = write_folder(tmp_path / "takes", header="speed,n,note,t")
    with pytest.raises(InputError, match="--action-columns speed, speed names 'speed' twice"):
        VideoFolderSource(path, KEPT, action_columns="speed, speed")
