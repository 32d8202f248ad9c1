"""A folder of mp4 and CSV, written here and read back."""

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


def test_the_last_action_may_be_missing(tmp_path):
    path = write_folder(tmp_path / "takes")
    lines = (path / "take1.csv").read_text().splitlines()
    lines[-1] = lines[-1].replace(lines[-1].split(",")[0], "", 1)
    (path / "take1.csv").write_text("\n".join(lines))
    assert_recorded(VideoFolderSource(path, KEPT))


def test_frames_of_a_folder_are_padded(tmp_path):
    source = VideoFolderSource(write_folder(tmp_path / "takes", shape=(24, 32)), Resize(16, "pad"))
    for number, episode in enumerate(source):
        assert episode.pixels.shape[1:] == (16, 16, 3)
        assert episode.pixels[:, 0].max() <= 6
        np.testing.assert_allclose(
            episode.pixels[:, 8].mean((1, 2)), frames_of(number, LENGTHS[number])[:, 0, 0, 0], atol=3
        )


def replace_in(name, old, new):
    def damage(path):
        (path / name).write_text((path / name).read_text().replace(old, new))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "take1.csv").unlink(), r"take1\.mp4 and no take1\.csv"),
        (lambda path: (path / "take1.mp4").unlink(), r"take1\.csv and no take1\.mp4"),
        (lambda path: [file.unlink() for file in path.iterdir()], r"no \.mp4 and \.csv"),
        (lambda path: (path / "take1.mp4").write_bytes(b""), r"take1\.mp4 is not a whole video"),
        (replace_in("take1.csv", "108,1,hello,8\n", ""), r"episode 1: .* 9 frames and take1\.csv 8 rows"),
        (replace_in("take1.csv", "103,1", "fast,1"), "row 3 of episode 1 .* not 4 numbers"),
        (replace_in("take1.csv", "103,1", "nan,1"), "action 0 in row 3 of episode 1 .* nan"),
        (replace_in("take1.csv", "103,1,hello,3", "103,1"), "row 3 of episode 1"),
        (replace_in("take1.csv", "108,1,hello,8", "108,one,hello,8"), "row 8 of episode 1"),
        (replace_in("take1.csv", "state_row", "row"), r"take1\.csv has no column 'state_row'"),
        (lambda path: (path / "take1.csv").write_text(""), r"take1\.csv has no column"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_in_one_line(tmp_path, damage, message):
    path = write_folder(tmp_path / "takes")
    damage(path)
    with pytest.raises(InputError, match=message) as error:
        list(VideoFolderSource(path, KEPT))
    assert "\n" not in str(error.value)
