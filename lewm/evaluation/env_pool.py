"""Many copies of an environment, used without its step(). Worker processes import this: it must not import torch."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.arrays import Actions, Frames
from lewm.config import EnvConfig
from lewm.data.recording import Expert
from lewm.environment import make_env

States = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Steps(NamedTuple):
    """What n actions in each of B episodes led to.

    Attributes:
      states: (B, n, S) after each action.
      counts: (B,) how many of the actions were executed, fewer than n where the episode was over before.
      over: (B,) whether the episode is over.
    """

    states: States
    counts: NDArray[np.int64]
    over: Mask


class EnvPool:
    """B episodes of a GoalEnv side by side: no rewards, no frames that nobody sees, no end but the environment's own.

    Environments are made when they are needed and used again for the next episodes. First axes are episodes, in the
    order of begin(); those of complete, draw, judge and at_rest may be anything.

    Args:
      config: the environment.
    """

    def __init__(self, config: EnvConfig) -> None:
        self._config, self._envs = config, list[Any]()
        self._artist = self._make()  # for questions that have nothing to do with the episodes

    def _make(self) -> Any:
        env = make_env(self._config)
        env.reset(seed=0)
        return env

    def begin(self, states: States) -> States:
        """Puts B episodes into (B, ...) states, as recorded, and returns the (B, S) that they are in."""
        while len(self._envs) < len(states):
            self._envs.append(self._make())
        self._playing = self._envs[: len(states)]
        for env, state in zip(self._playing, states, strict=True):
            env.set_state(state)
        self._over = np.array([env.is_over() for env in self._playing], bool)
        return np.stack([env.state for env in self._playing])

    def complete(self, states: States) -> States:
        """(..., R) recorded states -> (..., S) as the environment keeps them: Push-T takes 7 of its 10 numbers, say.

        Raises:
          ValueError: the environment cannot be in one of them.
        """
        kept = []
        for state in states.reshape(math.prod(states.shape[:-1]), states.shape[-1]):
            self._artist.set_state(state)
            kept.append(self._artist.state)
        return np.array(kept, np.float64).reshape(*states.shape[:-1], len(self._artist.state))

    def step(self, actions: Actions) -> Steps:
        """Executes (B, n, a) raw actions; an episode that is over stays in its last state."""
        states, counts = zip(*(self._run(i, actions[i]) for i in range(len(self._playing))), strict=True)
        return Steps(np.stack(states), np.array(counts), self._over.copy())

    def _run(self, i: int, actions: Actions) -> tuple[States, int]:
        env, states, count = self._playing[i], [], 0
        for action in actions.astype(np.float64):
            if not self._over[i]:
                env.advance(np.clip(action, env.action_space.low, env.action_space.high))
                self._over[i] = env.is_over()
                count += 1
            states.append(env.state)
        return np.stack(states), count

    def render(self) -> Frames:
        """(B, h, w, C) pictures of the episodes as they are."""
        return np.stack([env.render() for env in self._playing])

    def draw(self, states: States) -> Frames:
        """(..., S) states -> (..., h, w, C) frames; does nothing to the episodes."""
        frames = []
        for state in states.reshape(-1, states.shape[-1]):
            self._artist.set_state(state)
            frames.append(self._artist.render())
        size = self._config.frame_size
        return np.array(frames, np.uint8).reshape(*states.shape[:-1], size, size, 3)

    def judge(self, states: States, goal_states: States) -> tuple[Mask, NDArray[np.float64]]:
        """(N, T, S) states, (N, S) goals -> (N, T) whether each is a success, (N, T) how far from the goal it is."""
        env = self._artist
        rows = [[(state, goal) for state in several] for several, goal in zip(states, goal_states, strict=True)]
        success = np.array([[env.is_success(*pair) for pair in row] for row in rows], bool)
        distances = np.array([[env.distance(*pair) for pair in row] for row in rows], np.float64)
        return success, distances

    def at_rest(self, states: States) -> States:
        """(N, S) states -> (N, S) the same without motion."""
        return np.stack([self._artist.at_rest(state) for state in states])

    def begin_experts(self, expert: Expert, goal_states: States, seeds: NDArray[np.int64]) -> None:
        """Gives each episode an expert who is told its goal, of (B, S); (B, ...) seeds are those of their noise."""
        self._goals, self._rngs = goal_states, [np.random.default_rng(seed) for seed in seeds]
        self._experts = [expert.begin(*each) for each in zip(self._playing, self._rngs, strict=True)]
        self._previous = [np.zeros((1, *env.action_space.shape), np.float32) for env in self._playing]

    def ask_experts(self) -> Actions:
        """(B, a) what the experts do in the present states, which they see; 0 where the episode is over."""
        for i in np.flatnonzero(~self._over):
            state = self._playing[i].state[None]
            self._previous[i] = self._experts[i](state, self._goals[i : i + 1], self._previous[i], self._rngs[i])
        return np.concatenate(self._previous)

    def close(self) -> None:
        """Gives back what a simulator holds."""
        for env in (self._artist, *self._envs):
            env.close()
