"""Worker processes: fresh interpreters that answer this one over a connection. They must not import torch.

They are no forks, so that threads, torch and rendering contexts of this process do no harm; and not multiprocessing's,
which would run the imports of the main program, torch among them, in each of them.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lewm.errors import InputError

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")
"""Each process has a core: libraries and software renderers that start threads would share it with the others."""

GONE = (EOFError, BrokenPipeError, ConnectionResetError)
"""Errors of reading from and writing to a process that has ended."""


def num_cores() -> int:
    """The number of CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Worker(NamedTuple):
    """A worker process, seen from the process that started it.

    Attributes:
      connection: what it is asked and answers over.
      process: the process, in a group of its own, so that Ctrl-C does not reach it.
      key: key of the number of workers in the configuration, for error messages.
    """

    connection: Connection
    process: subprocess.Popen[bytes]
    key: str

    def send(self, message: Any) -> None:
        """Sends a message. That the worker has ended is found out by receive().

        Raises:
          InputError: the message holds what cannot be sent to another process.
        """
        try:
            content = pickle.dumps(message)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"{message} cannot be sent to worker processes ({error}): define its class in a module, or give"
                f" {self.key}=1"
            ) from error
        with suppress(OSError):
            self.connection.send_bytes(content)

    def receive(self, task: str) -> Any:
        """Receives the next answer.

        Args:
          task: what was asked, as in "the process that <task> ended with status 1".

        Raises:
          InputError: the worker was killed.
          Exception: what the worker raised instead of answering.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            raise InputError(
                f"the process that {task} ended with status {self.process.wait()}, -9 if memory ran out: mend that or"
                f" lower {self.key}, then run the command again; what is complete is kept"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def start_worker(module: str, key: str, *filenos: int) -> Worker:
    """Starts a process that runs serve(fileno) of `module`, which calls answer(), and has these files open."""
    ours, theirs = Pipe()
    with theirs:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import serve; serve({theirs.fileno()})"],
            env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), *filenos),
            process_group=0,
        )
    return Worker(ours, process, key)


def answer(fileno: int, begin: Callable[[Any], Callable[[Any], Any]]) -> None:
    """Answers messages until the other side is gone: the life of a worker process.

    Args:
      fileno: file descriptor of the worker's end of the connection.
      begin: makes the function that answers messages, of the first message, which is not answered. An exception of
        either is sent in place of an answer and ends the worker.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):  # who asks decides when this ends
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(fileno)
    with suppress(*GONE):
        try:
            respond = begin(connection.recv())
            while True:
                connection.send(respond(connection.recv()))
        except GONE:
            raise
        except Exception as error:
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            connection.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error, or one with its text if it does not survive the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a library's own class does wrong
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
