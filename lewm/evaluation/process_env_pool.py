"""A pool in several worker processes. They import this module: it must not import torch."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lewm.arrays import Frames
from lewm.config import EnvConfig
from lewm.data.recording import Expert
from lewm.evaluation.env_pool import EnvPool, Mask, States, Steps
from lewm.processes import answer, num_cores, start_worker

MIN_EPISODES = 32
"""Fewer episodes than these are played in this process: the others would take longer to start than they save."""


@contextmanager
def open_env_pool(
    config: EnvConfig, num_episodes: int, num_workers: int | None
) -> Iterator["EnvPool | ProcessEnvPool"]:
    """A pool in num_workers processes, of which 1 is this one; None: see choose_num_workers."""
    if num_workers is None:
        num_workers = choose_num_workers(num_episodes, num_cores())
    if num_workers == 1:
        with closing(EnvPool(config)) as pool:
            yield pool
    else:
        with ProcessEnvPool(config, num_workers) as workers:
            yield workers


def choose_num_workers(num_episodes: int, cores: int) -> int:
    """Number of processes for some episodes: one for each core, but none that would not shorten the longest share.

    Processes start side by side, so that many take hardly longer than two. 50 episodes on 16 cores are 4 or fewer in
    each of 13 processes, and in 16 processes the longest share is 4, too.
    """
    if num_episodes < MIN_EPISODES:
        return 1
    share = math.ceil(num_episodes / cores)
    return math.ceil(num_episodes / share)


class ProcessEnvPool:
    """An EnvPool whose episodes are shared by processes, with the same results to the bit. See there for the methods.

    Ctrl-C reaches only the process that uses this class, which then ends the others.

    Args:
      config: the environment.
      num_workers: number of processes.
    """

    def __init__(self, config: EnvConfig, num_workers: int) -> None:
        self._workers = [start_worker(__name__, "evaluation.num_workers") for _ in range(num_workers)]
        for worker in self._workers:
            worker.send(config)

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
        ends = [total * i // len(self._workers) for i in range(len(self._workers) + 1)]
        asked = [i for i in range(len(self._workers)) if ends[i] < ends[i + 1]]
        for i in asked:
            part = slice(ends[i], ends[i + 1])
            own = [argument[part] if isinstance(argument, np.ndarray) else argument for argument in arguments]
            self._workers[i].send((question, own))
        answers = [self._workers[i].receive("played episodes") for i in asked]
        if isinstance(answers[0], tuple):
            return tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))
        return None if answers[0] is None else np.concatenate(answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.wait()


def serve(fileno: int) -> None:
    """The main function of a worker process: makes a pool, and calls the methods that it is asked for."""

    def begin(config: EnvConfig) -> Callable[[tuple[str, list[Any]]], Any]:
        pool = EnvPool(config)
        return lambda message: getattr(pool, message[0])(*message[1])

    answer(fileno, begin)
