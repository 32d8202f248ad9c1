import errno
import signal
from concurrent.futures import ThreadPoolExecutor

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


@pytest.fixture
def handlers():
    """Lets a test change the handlers of signals; what was there comes back."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


NUMBERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.usefixtures("handlers")
def test_a_signal_that_asks_a_program_to_end_is_as_ctrl_c(number):
    signal.signal(number, signal.SIG_DFL)
    with pytest.raises(SystemExit) as end, one_line_errors():
        signal.raise_signal(number)
    assert end.value.code == 130
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.usefixtures("handlers")
def test_a_lost_terminal_that_nohup_ignores_ends_nothing():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    went_on = False
    with one_line_errors():
        signal.raise_signal(signal.SIGHUP)
        went_on = True
    assert went_on and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.usefixtures("handlers")
def test_a_warning_that_somebody_else_handles_stays_theirs():
    warned = []
    signal.signal(signal.SIGUSR2, lambda *_: warned.append("requeued"))
    with one_line_errors():
        signal.raise_signal(signal.SIGUSR2)
    assert warned == ["requeued"]


def test_beside_the_main_thread_a_program_has_its_errors_and_no_signals():
    with ThreadPoolExecutor(1) as pool, pytest.raises(SystemExit, match="error: 3 is odd"):
        pool.submit(fail).result()


def fail():
    with one_line_errors():
        raise InputError("3 is odd")


def test_a_full_disk_ends_a_program_with_one_line_that_names_the_file():
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "data/pixels.npy")
    assert "No space left on device" in end.value.code
    assert "data/pixels.npy" in end.value.code
    assert "\n" not in end.value.code


@pytest.mark.parametrize("code", ["EACCES", "EROFS", "EDQUOT", "ENOTDIR", "EMFILE"])
def test_a_failure_of_the_machine_ends_a_program_with_one_line(code):
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise OSError(getattr(errno, code), "said by the system", "runs/a")
    assert end.value.code.startswith("error: said by the system (runs/a): ")


OWN_MISTAKES = [
    ValueError("shape"),
    TypeError("argument"),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "metrics.json"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    OSError("without a number"),
]


@pytest.mark.parametrize("mistake", OWN_MISTAKES, ids=lambda mistake: type(mistake).__name__)
def test_a_mistake_of_our_own_keeps_its_traceback(mistake):
    with pytest.raises(type(mistake)) as raised, one_line_errors():
        raise mistake
    assert raised.value is mistake


def test_the_traceback_of_a_one_line_error_is_shown_when_asked_for(monkeypatch, capsys):
    def fail():
        try:
            {}["cause"]
        except KeyError as error:
            raise InputError("width=0 must be at least 1") from error

    monkeypatch.setenv("LEWM_TRACEBACK", "1")
    with pytest.raises(SystemExit) as end, one_line_errors():
        fail()
    assert end.value.code == "error: width=0 must be at least 1"
    shown = capsys.readouterr().err
    assert "KeyError: 'cause'" in shown
    assert "in fail" in shown


@pytest.mark.parametrize("value", [None, "", "0"])
def test_the_traceback_of_a_one_line_error_is_left_out_otherwise(monkeypatch, capsys, value):
    monkeypatch.delenv("LEWM_TRACEBACK", raising=False)
    if value is not None:
        monkeypatch.setenv("LEWM_TRACEBACK", value)
    with pytest.raises(SystemExit), one_line_errors():
        raise InputError("width=0 must be at least 1")
    assert capsys.readouterr().err == ""
