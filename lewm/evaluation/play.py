"""Plays start/goal pairs in the environment and records what came of it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lewm.arrays import Actions, Frames, Rows
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.pairs import Pairs
from lewm.evaluation.process_env_pool import ProcessEnvPool


class Scene:
    """What a policy may look at in the episodes that go on: pictures, drawn when they are asked for, and no states.

    Attributes:
      numbers: (B,) of the pairs in their manifest, for noise that does not depend on the neighbours.
    """

    def __init__(self, pool: EnvPool | ProcessEnvPool, pairs: Pairs) -> None:
        self._pool, self._pairs, self._rows = pool, pairs, np.arange(len(pairs.numbers))

    @property
    def numbers(self) -> NDArray[np.int64]:
        return self._pairs.numbers[self._rows]

    def frames(self) -> Frames:
        """(B, h, w, C) as it looks now."""
        return self._pool.render()[self._rows]

    def goal_frames(self) -> Frames:
        """(B, h, w, C)."""
        return self._pool.draw(self._pairs.goal_states[self._rows])

    def past(self) -> tuple[Frames, Actions]:
        """(B, T-1, h, w, C) frames before the start, and the (B, T-1, K, a) actions that followed each of them."""
        return self._pool.draw(self._pairs.past_states[self._rows]), self._pairs.past_actions[self._rows]

    def keep(self, rows: Rows) -> None:
        """Forgets all episodes but these."""
        self._rows = self._rows[rows]


class Policy(Protocol):
    """Acts in B episodes at once. It is given a Scene, never states.

    Attributes:
      context: most frames that it wants to see at the start, those before the start included.
    """

    context: int

    def start(self, scene: Scene) -> None:
        """Begins with episodes as they are now."""

    def act(self) -> Actions:
        """(B, n, a) raw actions to execute next, n at least 1."""
        ...

    def observe(self, scene: Scene, actions: Actions) -> None:
        """Takes in what there is to see after the executed (B, n, a) actions."""

    def keep(self, rows: Rows) -> None:
        """Forgets all episodes but these: the environment has ended the others."""


class Outcome(NamedTuple):
    """What P episodes came to.

    Attributes:
      reached: (P,) whether any state up to the budget was a success, the start included.
      at_end: (P,) whether the last state was one.
      solved_at_start: (P,) whether the start was one already.
      states: (P, budget + 1, S); an episode that the environment ended keeps its last state.
      goal_states: (P, S).
      first_success: (P,) env steps to the first success, -1 without one.
      num_steps: (P,) env steps played, fewer than the budget where the environment ended the episode.
      distances: (P, budget + 1) to the goal, as the environment measures them.
    """

    reached: NDArray[np.bool_]
    at_end: NDArray[np.bool_]
    solved_at_start: NDArray[np.bool_]
    states: NDArray[np.float64]
    goal_states: NDArray[np.float64]
    first_success: NDArray[np.int64]
    num_steps: NDArray[np.int64]
    distances: NDArray[np.float64]


def play(
    pool: EnvPool | ProcessEnvPool, policy: Policy, pairs: Pairs, budget: int, on_steps: Callable[[int], Any]
) -> Outcome:
    """Lets a policy act from every start for `budget` env steps, and tells on_steps how many were just made."""
    going, num_steps, step = np.arange(len(pairs.numbers)), np.zeros(len(pairs.numbers), np.int64), 0
    states, scene = [pool.begin(pairs.start_states)[:, None]], Scene(pool, pairs)
    policy.start(scene)
    while len(going) and step < budget:
        actions = policy.act()[:, : budget - step]
        moves = np.zeros((len(num_steps), *actions.shape[1:]), np.float32)
        moves[going] = actions
        made = pool.step(moves)
        states.append(made.states)
        num_steps += made.counts
        step += actions.shape[1]
        on_steps(actions.shape[1])
        rows = np.flatnonzero(~made.over[going])
        if len(rows) < len(going):
            going, actions = going[rows], actions[rows]
            scene.keep(rows)
            policy.keep(rows)
        if len(going) and step < budget:
            policy.observe(scene, actions)
    if step < budget:
        on_steps(budget - step)
    return judge(pool, np.concatenate(states, axis=1), pairs.goal_states, num_steps, budget)


def judge(
    pool: EnvPool | ProcessEnvPool,
    states: NDArray[np.float64],
    goal_states: NDArray[np.float64],
    num_steps: NDArray[np.int64],
    budget: int,
) -> Outcome:
    """The outcome of (P, up to budget + 1, S) states, the last of which lasts to the end of the budget."""
    states = np.pad(states, ((0, 0), (0, budget + 1 - states.shape[1]), (0, 0)), mode="edge")
    success, distances = pool.judge(states, goal_states)
    reached = np.any(success, axis=1)
    return Outcome(
        reached=reached,
        at_end=success[:, -1],
        solved_at_start=success[:, 0],
        states=states,
        goal_states=goal_states,
        first_success=np.where(reached, success.argmax(1), -1),
        num_steps=num_steps,
        distances=distances,
    )
