"""Users' mistakes and limits of the machine, and how a program ends on them."""

import errno
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lewm.terminal import print_plainly

TRACEBACK = "LEWM_TRACEBACK"
"""Environment variable: with 1, one-line errors have their traceback in front of them."""


class InputError(ValueError):
    """A user's mistake or a machine's limit: one line that names the value and the remedy, without a traceback."""


def one_line(error: Exception) -> str:
    """Text of an error without line breaks."""
    return " ".join(str(error).split())


_OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # no room
    *(errno.EACCES, errno.EPERM, errno.EROFS),  # not allowed
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),  # something else is in the way
    *(errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE),  # a broken or lost disk
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),  # limits of the system
}
"""Failures of files that no program could prevent. A missing file is none of them: who was given its path checks it."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line and status 1 on an InputError or a failure of the machine, with 130 on Ctrl-C.

    Any other error is a mistake in the program and passes with its traceback. ending_signals() are as Ctrl-C. What is
    printed has a plain spelling where the terminal is not UTF-8.
    """
    print_plainly()
    try:
        with interrupted_by_signals():
            yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except InputError as error:
        _end(f"error: {error}", error)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _end(f"error: {error.strerror}{where}: mend it, then run the command again; what is complete is kept", error)


def ending_signals() -> tuple[signal.Signals, ...]:
    """Signals that ask a program to end soon, beside Ctrl-C.

    These are SIGTERM, SLURM's warnings SIGUSR1 and SIGUSR2, and SIGHUP of a lost terminal unless nohup ignores it.
    """
    lost = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, *lost)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Makes a KeyboardInterrupt of ending_signals(), but for warnings of SLURM that somebody else handles.

    submitit requeues a job on them.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():  # others have no signals
        handled = {number for number in (signal.SIGUSR1, signal.SIGUSR2) if callable(signal.getsignal(number))}
        numbers = [number for number in ending_signals() if number not in handled]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(line: str, error: Exception) -> NoReturn:
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        traceback.print_exception(error)
    raise SystemExit(line) from None
