"""A pool in several processes. They import this module: it must not import torch."""

import os
import pickle
import signal
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lewm.arrays import Frames
from lewm.config import EnvConfig
from lewm.data.recording import Expert
from lewm.errors import InputError
from lewm.evaluation.env_pool import EnvPool, Mask, States, Steps
from lewm.processes import portable, start_interpreter

MIN_EPISODES = 16
"""Fewer than these are not worth a process of their own."""


@contextmanager
def open_env_pool(
    config: EnvConfig, num_episodes: int, num_workers: int | None
) -> Iterator["EnvPool | ProcessEnvPool"]:
    """A pool in num_workers processes, of which 1 is this one; None: as many as there are cores and work for them."""
    if num_workers is None:
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        num_workers = max(min(num_cores, num_episodes // MIN_EPISODES), 1)
    if num_workers == 1:
        with closing(EnvPool(config)) as pool:
            yield pool
    else:
        with ProcessEnvPool(config, num_workers) as workers:
            yield workers


class ProcessEnvPool:
    """An EnvPool whose episodes are shared by processes, with the same results to the bit. See there for the methods.

    The processes are fresh interpreters (see lewm.data.workers) in a group of their own: Ctrl-C reaches only the one
    that uses this class, which then ends them.

    Args:
      config: the environment.
      num_workers: number of processes.
    """

    def __init__(self, config: EnvConfig, num_workers: int) -> None:
        self._processes = [start_interpreter(__name__) for _ in range(num_workers)]
        for i in range(num_workers):
            self._send(i, config)

    def begin(self, states: States) -> States:
        self._num_episodes = len(states)
        begun: States = self._ask("begin", states)
        return begun

    def complete(self, states: States) -> States:
        complete: States = self._ask("complete", states)
        return complete

    def step(self, actions: NDArray[np.float32]) -> Steps:
        return Steps(*self._ask("step", actions))

    def render(self) -> Frames:
        frames: Frames = self._ask("render")
        return frames

    def draw(self, states: States) -> Frames:
        frames: Frames = self._ask("draw", states)
        return frames

    def judge(self, states: States, goal_states: States) -> tuple[Mask, NDArray[np.float64]]:
        success, distances = self._ask("judge", states, goal_states)
        return success, distances

    def at_rest(self, states: States) -> States:
        still: States = self._ask("at_rest", states)
        return still

    def begin_experts(self, expert: Expert, goal_states: States, seeds: NDArray[np.int64]) -> None:
        self._ask("begin_experts", expert, goal_states, seeds)

    def ask_experts(self) -> NDArray[np.float32]:
        actions: NDArray[np.float32] = self._ask("ask_experts")
        return actions

    def _ask(self, question: str, *arguments: Any) -> Any:
        """Has all processes call a method of their pools, each with its slice of every array."""
        arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
        total = len(arrays[0]) if arrays else self._num_episodes
        ends = [total * i // len(self._processes) for i in range(len(self._processes) + 1)]
        asked = [i for i in range(len(self._processes)) if ends[i] < ends[i + 1]]
        for i in asked:
            part = slice(ends[i], ends[i + 1])
            own = [argument[part] if isinstance(argument, np.ndarray) else argument for argument in arguments]
            self._send(i, (question, own))
        answers = [self._receive(i) for i in asked]
        if isinstance(answers[0], tuple):
            return tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))
        return None if answers[0] is None else np.concatenate(answers)

    def _send(self, i: int, message: Any) -> None:
        try:
            content = pickle.dumps(message)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"{message} cannot be sent to worker processes ({error}): give evaluation.num_workers=1"
            ) from error
        with suppress(OSError):  # if it has ended, _receive() finds out how
            self._processes[i][0].send_bytes(content)

    def _receive(self, i: int) -> Any:
        connection, process = self._processes[i]
        try:
            answer = connection.recv()
        except (EOFError, OSError):
            raise InputError(
                f"a process that played episodes ended with status {process.wait()}, -9 if memory ran out: mend that"
                " or lower evaluation.num_workers, then run the command again; what is complete is kept"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        for connection, process in self._processes:
            connection.close()
            process.terminate()
        for _, process in self._processes:
            process.wait()


def serve(fileno: int) -> None:
    """The main function of a worker process: answers questions to a pool until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(fileno)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # nobody is left to be told
        try:
            pool = EnvPool(connection.recv())
            while True:
                question, arguments = connection.recv()
                connection.send(getattr(pool, question)(*arguments))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            connection.send(portable(error))
