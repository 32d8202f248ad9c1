"""Worker processes that record the chunks of a collection. They import this module: it must not import torch."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig
from lewm.data.episode_arrays import Episode, EpisodeArrays
from lewm.data.episode_index import EpisodeIndex
from lewm.data.recording import ChunkRecorder, Expert
from lewm.processes import answer, start_worker


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

    Frames go through scratch files without a name, which vanish with the processes however those end. Ctrl-C reaches
    only the process that uses this class, which then ends the others.

    Args:
      config, expert: arguments of the ChunkRecorder.
      num_workers: number of processes.
      folder: where there is room for 2 * num_workers chunks.
    """

    def __init__(self, config: EnvConfig, expert: Expert, num_workers: int, folder: Path) -> None:
        self._frame_size, self._folder = config.frame_size, folder
        self._files = ExitStack()
        self._scratch: list[IO[bytes]] = []
        for _ in range(2 * num_workers):
            file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (the stack closes it)
            self._scratch.append(self._files.enter_context(file))
        filenos = [file.fileno() for file in self._scratch]
        self._workers = [start_worker(__name__, "num_workers", *filenos) for _ in range(num_workers)]
        self._running: list[list[Job]] = [[] for _ in self._workers]
        for worker in self._workers:
            worker.send((config, expert))

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
            for worker, jobs in zip(self._workers, self._running, strict=True):
                if len(jobs) < depth and free and (number := next(waiting, None)) is not None:
                    jobs.append(Job(number, free.pop()))
                    worker.send(jobs[-1])

    def _results(self) -> Iterator[tuple[Result, int]]:
        """What the processes have ready, at least one."""
        ready = wait([worker.connection for worker, jobs in zip(self._workers, self._running, strict=True) if jobs])
        for worker, jobs in zip(self._workers, self._running, strict=True):
            if worker.connection not in ready:
                continue
            job = jobs.pop(0)
            try:
                result = worker.receive(f"recorded chunk {job.number}")
            except OSError as error:
                if error.errno is not None:  # such as a full disk, and scratch files have no name
                    error.filename = error.filename or str(self._folder)
                raise
            yield result, job.scratch

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
        for worker, jobs in zip(self._workers, self._running, strict=True):
            worker.connection.close()
            if kind is not None or jobs:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.wait()
        self._files.close()


def _map(file: IO[bytes], dtype: Any, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.memmap(file, dtype, "r", offset, shape) if np.prod(shape) else np.zeros(shape, dtype)


def serve(fileno: int) -> None:
    """The main function of a worker process: makes a recorder, and records the chunks that it is asked for."""

    def begin(arguments: tuple[EnvConfig, Expert]) -> Callable[[Job], Result]:
        return partial(_record, ChunkRecorder(*arguments))

    answer(fileno, begin)


def _record(recorder: ChunkRecorder, job: Job) -> Result:
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
