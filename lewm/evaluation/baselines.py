"""Policies without a world model, for comparison."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lewm.arrays import Actions, Rows
from lewm.data.recording import Expert, ReplayExpert
from lewm.errors import InputError
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.pairs import Pairs
from lewm.evaluation.play import Policy, Scene
from lewm.evaluation.process_env_pool import ProcessEnvPool

BASELINES = ("random", "no_op", "replay")


@dataclass
class Replay:
    """Policy that executes given actions, then stands still. It looks at nothing, so no frame is drawn for it.

    Attributes:
      actions: (P, n, a) raw actions, one row for each pair of the manifest.
    """

    actions: Actions
    context = 1

    def start(self, scene: Scene) -> None:
        self._remaining = self.actions[scene.numbers]

    def act(self) -> Actions:
        now, self._remaining = self._remaining, np.zeros_like(self._remaining[:, :1])
        return now

    def observe(self, scene: Scene, actions: Actions) -> None:
        pass

    def keep(self, rows: Rows) -> None:
        self._remaining = self._remaining[rows]


def make_baseline(name: str, pairs: Pairs, budget: int, low: NDArray, high: NDArray, seed: int) -> Replay:
    """Makes a policy that needs no model.

    Args:
      name: random (uniform within the bounds), no_op, or replay (the recorded actions).
      pairs: all pairs of the manifest.
      budget: env steps to reach the goal.
      low, high: (a,) bounds of the raw actions.
      seed: seed of the random actions, which are a function of (seed, pair).
    """
    num_pairs, _, action_dim = pairs.recorded_actions.shape
    if name == "replay":
        return Replay(pairs.recorded_actions)
    if name == "no_op":
        return Replay(np.zeros((num_pairs, 1, action_dim), np.float32))
    assert name == "random", name
    rngs = (np.random.default_rng((seed, number)) for number in pairs.numbers)
    return Replay(np.stack([rng.uniform(low, high, (budget, action_dim)).astype(np.float32) for rng in rngs]))


@dataclass(frozen=True)
class Privileged:
    """Policy of an expert, who is told states and goals where others see frames.

    Attributes:
      expert: expert of envs/experts, or one like them.
      seed: seed of its noise, which is a function of (seed, pair).
    """

    expert: Expert
    seed: int

    def __post_init__(self) -> None:
        """InputError: the expert heads for no goal."""
        if isinstance(self.expert, ReplayExpert):
            raise InputError("the expert plays recordings again and heads for no goal: give another one as expert=")

    def enter(self, pool: EnvPool | ProcessEnvPool, pairs: Pairs) -> Policy:
        """Makes the policy for the pairs of a manifest in a pool."""
        return _ExpertPolicy(self, pool, pool.complete(pairs.goal_states))


class _ExpertPolicy:
    """Policy that asks the experts in the pool."""

    context = 1

    def __init__(self, told: Privileged, pool: EnvPool | ProcessEnvPool, goal_states: NDArray[np.float64]) -> None:
        self._told, self._pool, self._goal_states = told, pool, goal_states

    def start(self, scene: Scene) -> None:
        self._rows = np.arange(len(scene.numbers))
        seeds = np.stack([np.full(len(scene.numbers), self._told.seed), scene.numbers], axis=1)
        self._pool.begin_experts(self._told.expert, self._goal_states[scene.numbers], seeds)

    def act(self) -> Actions:
        return self._pool.ask_experts()[self._rows, None]

    def observe(self, scene: Scene, actions: Actions) -> None:
        pass

    def keep(self, rows: Rows) -> None:
        self._rows = self._rows[rows]
