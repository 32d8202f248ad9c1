"""Files and folders are whole or absent, and what stood in their place stays on any error."""

import errno
import fcntl
import json
import math
import os

import pytest

from lewm import files
from lewm.errors import InputError
from lewm.files import (
    check_links,
    run_lock,
    sha256_of,
    whole_file,
    whole_folder,
    without_nan,
    write_json,
    write_text,
)
from tests.disk import full_disk


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half_and_stop(file):
    file.write("half")
    raise KeyboardInterrupt


def test_a_file_replaces_the_one_before_it(tmp_path):
    write_text(tmp_path / "x.txt", "one")
    write_text(tmp_path / "x.txt", "two")
    assert (tmp_path / "x.txt").read_text() == "two"
    assert names_in(tmp_path) == ["x.txt"]


def test_an_error_while_writing_leaves_the_file_before_it_and_no_remains(tmp_path):
    write_text(tmp_path / "x.txt", "one")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "x.txt") as file:
        write_half_and_stop(file)
    assert (tmp_path / "x.txt").read_text() == "one"
    assert names_in(tmp_path) == ["x.txt"]


def test_a_full_disk_leaves_the_file_before_it(tmp_path):
    write_text(tmp_path / "x.txt", "one")
    with pytest.raises(OSError, match="too large"), full_disk(100):
        write_text(tmp_path / "x.txt", "two" * 1000)
    assert (tmp_path / "x.txt").read_text() == "one"


def test_json_has_no_numbers_that_json_does_not_know(tmp_path):
    values = {"a": math.nan, "b": [1.0, math.inf, (2, -math.inf)], "c": {"d": math.nan, "e": "NaN"}}
    write_json(tmp_path / "x.json", values)
    found = json.loads((tmp_path / "x.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == {"a": None, "b": [1.0, None, [2, None]], "c": {"d": None, "e": "NaN"}}
    assert math.isnan(values["a"])


def test_finite_numbers_and_everything_else_stay_as_they_are():
    values = {"a": [1, 2.5, None, True, "x"]}
    assert without_nan(values) == values


def test_a_folder_appears_whole_and_replaces_the_one_before_it(tmp_path):
    for text in ("one", "two"):
        with whole_folder(tmp_path / "x") as folder:
            (folder / text).write_text(text)
            assert text not in names_in(tmp_path)
    assert names_in(tmp_path) == ["x"]
    assert names_in(tmp_path / "x") == ["two"]


def test_an_error_leaves_the_folder_before_it_and_no_remains(tmp_path):
    with whole_folder(tmp_path / "x") as folder:
        (folder / "one").write_text("one")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "x") as folder, (folder / "two").open("w") as file:
        write_half_and_stop(file)
    assert names_in(tmp_path) == ["x"]
    assert names_in(tmp_path / "x") == ["one"]


@pytest.fixture
def without_locks(monkeypatch):
    """Function that takes locks away from the file systems: asking for one fails with this number."""

    def refuse(number):
        def flock(file, operation):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    files._note_no_locks.cache_clear()
    return refuse


@pytest.mark.parametrize("name", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_on_a_file_system_without_locks_a_run_goes_on_with_one_note(tmp_path, without_locks, capsys, name):
    without_locks(getattr(errno, name))
    for run in ("one", "two"):
        with run_lock(tmp_path / run):
            (tmp_path / run / "written").touch()
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith("note: ") and "no locks" in note and "second program" in note


def test_another_failure_of_a_lock_is_no_note(tmp_path, without_locks, capsys):
    without_locks(errno.EIO)
    with pytest.raises(OSError, match="Input/output"), run_lock(tmp_path):
        pass
    assert capsys.readouterr().err == ""


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_link_to_a_disk_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "data").symlink_to("/mnt/not_mounted")
    with pytest.raises(InputError, match=r"data is a link to /mnt/not_mounted, which is not there"):
        check_links(tmp_path / "data" / "two_room")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    check_links(tmp_path / "link" / "two_room")
