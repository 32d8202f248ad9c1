"""Processes that record the chunks of a collection. They import this module: it must not import torch.

They are fresh interpreters, not forks, so that threads, torch and rendering contexts of this process do no harm; and
not multiprocessing's, which would run the imports of the main program, torch among them, in each of them.
"""

import pickle
import signal
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig
from lewm.data.episode_arrays import Episode, EpisodeArrays
from lewm.data.episode_index import EpisodeIndex
from lewm.data.recording import Expert, Recorder
from lewm.errors import InputError
from lewm.processes import portable, start_interpreter


class Job(NamedTuple):
    """A chunk to record, and the file descriptor of the scratch file that its arrays go to."""

    number: int
    scratch: int


class Result(NamedTuple):
    """What a scratch file holds: for each episode, its number of actions and its digest; S and a of all of them."""

    number: int
    lengths: list[int]
    digests: list[bytes]
    num_states: int
    num_actions: int


class Workers:
    """Records chunks in several processes and gives them in order.

    Frames go through scratch files without a name, which vanish with the processes however those end. The processes
    are a group of their own: Ctrl-C reaches only the one that uses this class, which then ends them.

    Args:
      config, expert: arguments of the Recorder.
      num_workers: number of processes.
      folder: where there is room for 2 * num_workers chunks.
    """

    def __init__(self, config: EnvConfig, expert: Expert, num_workers: int, folder: Path) -> None:
        try:
            recorder = pickle.dumps((config, expert))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"the expert cannot be sent to worker processes ({error}): define its class in a module,"
                " or give num_workers=1"
            ) from error
        self._frame_size, self._folder = config.frame_size, folder
        self._files = ExitStack()
        self._scratch: list[IO[bytes]] = []
        for _ in range(2 * num_workers):
            file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (the stack closes it)
            self._scratch.append(self._files.enter_context(file))
        self._processes: dict[Connection, subprocess.Popen[bytes]] = {}
        self._running: dict[Connection, list[Job]] = {}
        for _ in range(num_workers):
            connection, process = start_interpreter(__name__, *(file.fileno() for file in self._scratch))
            self._processes[connection], self._running[connection] = process, []
            connection.send_bytes(recorder)

    def chunks(self, numbers: range) -> Iterator[list[tuple[Episode, bytes]]]:
        """The episodes of each chunk with their digests; valid until the next chunk is asked for."""
        free, waiting = [file.fileno() for file in self._scratch], iter(numbers)
        done: dict[int, tuple[Result, int]] = {}
        for wanted in numbers:
            while True:
                self._hand_out(waiting, free)
                if wanted in done:
                    break
                for result, scratch in self._results():
                    done[result.number] = result, scratch
            result, scratch = done.pop(wanted)
            yield self._read(result, scratch)
            free.append(scratch)

    def _hand_out(self, waiting: Iterator[int], free: list[int]) -> None:
        """Gives each process a job, and then one ahead, as long as there are scratch files."""
        for depth in (1, 2):
            for connection, jobs in self._running.items():
                if len(jobs) < depth and free and (number := next(waiting, None)) is not None:
                    jobs.append(Job(number, free.pop()))
                    with suppress(OSError):  # if it has ended, _results() finds out how
                        connection.send(jobs[-1])

    def _results(self) -> Iterator[tuple[Result, int]]:
        """What the processes have ready, at least one."""
        for connection in wait([connection for connection, jobs in self._running.items() if jobs]):
            assert isinstance(connection, Connection)
            job = self._running[connection].pop(0)
            try:
                answer = connection.recv()
            except (EOFError, OSError):
                status = self._processes[connection].wait()
                raise InputError(
                    f"the process that recorded chunk {job.number} ended with status {status}, -9 if memory ran out:"
                    " mend that or lower num_workers, then run the command again; what is complete is kept"
                ) from None
            if isinstance(answer, OSError) and answer.errno is not None:
                answer.filename = answer.filename or str(self._folder)
            if isinstance(answer, Exception):
                raise answer
            yield answer, job.scratch

    def _read(self, result: Result, scratch: int) -> list[tuple[Episode, bytes]]:
        index, size = EpisodeIndex(result.lengths), self._frame_size
        file = next(file for file in self._scratch if file.fileno() == scratch)
        pixels = _map(file, np.uint8, 0, (index.num_frames, size, size, 3))
        states = _map(file, np.float64, pixels.nbytes, (index.num_frames, result.num_states))
        actions = _map(file, np.float32, pixels.nbytes + states.nbytes, (index.num_actions, result.num_actions))
        return list(zip(EpisodeArrays(pixels, states, actions, index), result.digests, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        for connection, process in self._processes.items():
            connection.close()
            if kind is not None or self._running[connection]:
                process.terminate()
        for process in self._processes.values():
            process.wait()
        self._files.close()


def _map(file: IO[bytes], dtype: Any, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.memmap(file, dtype, "r", offset, shape) if np.prod(shape) else np.zeros(shape, dtype)


def serve(fileno: int) -> None:
    """The main function of a worker process: records the chunks that it is sent until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(fileno)
    try:
        recorder: Recorder | None = None
        content = connection.recv_bytes()
        try:
            recorder = Recorder(*pickle.loads(content))
            while True:
                job = connection.recv()
                connection.send(_record(recorder, job))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            connection.send(portable(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has ended, and nobody is left to be told: the normal end of a worker


def _record(recorder: Recorder, job: Job) -> Result:
    """Records a chunk into its scratch file: frames, then states, then actions of all of its episodes."""
    lengths, digests, states, actions = [], [], [], []
    with open(job.scratch, "r+b", buffering=0, closefd=False) as file:
        file.seek(0)
        for episode in recorder.chunk(job.number):
            digests.append(episode.digest())
            lengths.append(len(episode.actions))
            states.append(episode.states)
            actions.append(episode.actions)
            _write(file, episode.pixels)
        _write(file, np.concatenate(states))
        _write(file, np.concatenate(actions))
    return Result(job.number, lengths, digests, states[0].shape[1], actions[0].shape[1])


def _write(file: IO[bytes], array: NDArray[Any]) -> None:
    view = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    while view:
        view = view[file.write(view) :]
