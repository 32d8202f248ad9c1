import errno

import pytest

from lewm.errors import InputError, one_line_errors


def test_an_input_error_ends_a_program_with_one_line():
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise InputError("frameskip=0 must be at least 1")
    assert end.value.code == "error: frameskip=0 must be at least 1"


def test_ctrl_c_ends_a_program_with_status_130():
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130


def test_a_full_disk_ends_a_program_with_one_line_that_names_the_file():
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "data/pixels.npy")
    assert "No space left on device" in end.value.code
    assert "data/pixels.npy" in end.value.code
    assert "\n" not in end.value.code


def test_a_mistake_of_our_own_keeps_its_traceback():
    with pytest.raises(ValueError, match="shape"), one_line_errors():
        raise ValueError("shape")
