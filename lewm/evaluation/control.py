"""Plays start/goal pairs in the environment and records what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lewm.config import EnvConfig
from lewm.data.normalize import ActionNormalizer, pack_actions, unpack_actions
from lewm.environment import make_env
from lewm.evaluation.protocol import Pairs
from lewm.planning import MPC


class Policy(Protocol):
    """Acts in P episodes at once. It sees frames, never states."""

    def start(self, pixels: NDArray[np.uint8], goal_pixels: NDArray[np.uint8]) -> None:
        """Begins with the (P, h, w, C) first and goal frames."""

    def act(self) -> NDArray[np.float32]:
        """(P, n, a) raw actions to execute next, n at least 1."""
        ...

    def observe(self, pixels: NDArray[np.uint8], actions: NDArray[np.float32]) -> None:
        """Takes in the (P, h, w, C) frames after the executed (P, n, a) actions."""


class Outcome(NamedTuple):
    """What P episodes came to.

    Attributes:
      reached: (P,) whether any state up to the budget was a success, the start included.
      at_end: (P,) whether the last state was one.
      solved_at_start: (P,) whether the start was one already.
      states: (P, budget + 1, S).
      goal_states: (P, S).
    """

    reached: NDArray[np.bool_]
    at_end: NDArray[np.bool_]
    solved_at_start: NDArray[np.bool_]
    states: NDArray[np.float64]
    goal_states: NDArray[np.float64]


class Arena:
    """P copies of a GoalEnv, used without step(): no rewards, no ends, no frames that nobody sees."""

    def __init__(self, config: EnvConfig, num_envs: int) -> None:
        self.envs = [make_env(config) for _ in range(num_envs)]
        for env in self.envs:
            env.reset(seed=0)

    def show(self, states: NDArray) -> NDArray[np.uint8]:
        """(P, S) -> (P, h, w, C) frames, leaving the environments in those states."""
        for env, state in zip(self.envs, states, strict=True):
            env.set_state(state)
        return self.render()

    def render(self) -> NDArray[np.uint8]:
        return np.stack([env.render() for env in self.envs])

    def step(self, actions: NDArray) -> NDArray[np.float64]:
        """(P, a) raw actions -> (P, S) next states."""
        for env, action in zip(self.envs, actions.astype(np.float64), strict=True):
            env.advance(np.clip(action, env.action_space.low, env.action_space.high))
        return np.stack([env.state for env in self.envs])

    def is_success(self, states: NDArray, goal_states: NDArray) -> NDArray[np.bool_]:
        """(P, S), (P, S) -> (P,)."""
        rows = zip(self.envs, states, goal_states, strict=True)
        return np.array([env.is_success(state, goal_state) for env, state, goal_state in rows])


def play(arena: Arena, policy: Policy, pairs: Pairs, budget: int, on_step: Callable[[], Any]) -> Outcome:
    """Lets a policy act from every start for `budget` env steps, and calls on_step after each."""
    goal_pixels = arena.show(pairs.goal_states)
    policy.start(arena.show(pairs.start_states), goal_pixels)
    states = [pairs.start_states]
    while len(states) <= budget:
        actions = policy.act()[:, : budget + 1 - len(states)]
        for t in range(actions.shape[1]):
            states.append(arena.step(actions[:, t]))
            on_step()
        if len(states) <= budget:
            policy.observe(arena.render(), actions)
    success = np.stack([arena.is_success(state, pairs.goal_states) for state in states], axis=1)
    return Outcome(np.any(success, axis=1), success[:, -1], success[:, 0], np.stack(states, axis=1), pairs.goal_states)


@dataclass
class Replay:
    """Acts out given (P, n, a) actions, then stands still: recorded, random or no actions at all."""

    actions: NDArray[np.float32]

    def start(self, pixels: NDArray[np.uint8], goal_pixels: NDArray[np.uint8]) -> None:
        self._remaining = self.actions

    def act(self) -> NDArray[np.float32]:
        now, self._remaining = self._remaining, np.zeros_like(self.actions[:, :1])
        return now

    def observe(self, pixels: NDArray[np.uint8], actions: NDArray[np.float32]) -> None:
        pass


def floors(arena: Arena, pairs: Pairs, budget: int, low: NDArray, high: NDArray, seed: int) -> dict[str, Outcome]:
    """What needs no model, on the same pairs: uniform random actions, no action, and the recorded ones."""
    num_pairs, _, action_dim = pairs.recorded_actions.shape
    random = np.random.default_rng(seed).uniform(low, high, (num_pairs, budget, action_dim)).astype(np.float32)
    policies = {
        "random": Replay(random),
        "no_op": Replay(np.zeros((num_pairs, 1, action_dim), np.float32)),
        "replay": Replay(pairs.recorded_actions),
    }
    return {name: play(arena, policy, pairs, budget, lambda: None) for name, policy in policies.items()}


class MPCPolicy:
    """Model-predictive control behind the interface of frames and raw actions.

    Args:
      mpc: plans in normalized action blocks.
      normalizer, frameskip: from blocks to raw actions.
      action_dim: a, of the raw actions.
      num_executed: action blocks executed before the next plan.
      device: of the model.

    Attributes:
      plan_seconds: how long each plan took, for all P episodes together.
    """

    def __init__(
        self, mpc: MPC, normalizer: ActionNormalizer, frameskip: int, action_dim: int, num_executed: int, device: str
    ) -> None:
        self.mpc, self.normalizer, self.frameskip = mpc, normalizer, frameskip
        self.action_dim, self.num_executed, self.device = action_dim, num_executed, device
        self.plan_seconds: list[float] = []

    def start(self, pixels: NDArray[np.uint8], goal_pixels: NDArray[np.uint8]) -> None:
        episodes = tuple(range(len(pixels)))
        self._queue: list[Tensor] = []
        self._state = self.mpc.start(
            self._tensor(pixels), self._tensor(goal_pixels), episodes, self.frameskip * self.action_dim
        )

    def act(self) -> NDArray[np.float32]:
        if not self._queue:
            begin = time.perf_counter()
            plan, self._state = self.mpc.plan(self._state)
            self._queue = list(plan.actions[:, : self.num_executed].cpu().unbind(1))
            self.plan_seconds.append(time.perf_counter() - begin)
        block = self._queue.pop(0)
        raw: NDArray[np.float32] = self.normalizer.denormalize(unpack_actions(block[:, None], self.frameskip)).numpy()
        return raw

    def observe(self, pixels: NDArray[np.uint8], actions: NDArray[np.float32]) -> None:
        block = pack_actions(self.normalizer.normalize(actions), self.frameskip)[:, 0]
        self._state = self.mpc.observe(self._state, self._tensor(pixels), block.to(self.device))

    def _tensor(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(pixels).movedim(-1, -3).to(self.device)
