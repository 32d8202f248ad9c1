"""Stand-ins that are right by construction: an environment that counts its steps, and a world model z' = z + a."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from lewm.data.episode_arrays import Episode
from lewm.data.metadata import Metadata

COUNTING_METADATA = Metadata(
    env_id="tests/Counting-v0",
    frame_size=4,
    state_names=["episode", "step"],
    action_low=[0.0, 0.0],
    action_high=[255.0, 255.0],
    collection={},
)


def counting_episode(number, num_actions):
    """Frame t shows t in its red channel and the episode in its green one; action t is (t, 100 x episode + t)."""
    steps = np.arange(num_actions + 1)
    pixels = np.zeros((num_actions + 1, 4, 4, 3), np.uint8)
    pixels[..., 0] = steps[:, None, None]
    pixels[..., 1] = number
    states = np.stack([np.full(num_actions + 1, number), steps], 1).astype(np.float64)
    actions = np.stack([steps[:-1], 100 * number + steps[:-1]], 1).astype(np.float32)
    return Episode(pixels, states, actions)


class CountingVectorEnv(VectorEnv):
    """Pixels show the steps since the reset, the state also the last action; environment i ends after 3 + i steps."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        self._count, self._last_action = 0, np.zeros((self.num_envs, 1))
        return self._observe(), self._info()

    def step(self, actions):
        self._count, self._last_action = self._count + 1, actions
        terminated = self._count == 3 + np.arange(self.num_envs)
        return self._observe(), np.zeros(self.num_envs), terminated, np.zeros(self.num_envs, bool), self._info()

    def _info(self):
        return {"goal_state": np.zeros((self.num_envs, 2))}

    def _observe(self):
        counts = np.full((self.num_envs, 1), float(self._count))
        pixels = np.full((self.num_envs, 4, 4, 3), self._count, np.uint8)
        return {"pixels": pixels, "state": np.concatenate([counts, self._last_action], 1)}


class AdditiveModel:
    """A world model of z' = z + a that is exact, of frames that are their embeddings: (B, T, D, 1, 1).

    It checks what it is told of the past: no more frames than the context, and the actions that led from one to the
    next.

    Attributes:
      num_encoded: frames encoded so far.
      max_frames: most context frames that a rollout was given.
      max_sequences: most sequences that one rollout was given.
    """

    def __init__(self):
        self.num_encoded = self.max_frames = self.max_sequences = 0

    def encode(self, pixels):
        self.num_encoded += pixels.shape[0] * pixels.shape[1]
        return pixels.flatten(2)

    def rollout(self, z, actions, context):
        num_past = z.shape[1]
        assert num_past <= context
        torch.testing.assert_close(z[:, 1:], z[:, :-1] + actions[:, : num_past - 1])
        self.max_frames = max(self.max_frames, num_past)
        self.max_sequences = max(self.max_sequences, len(z))
        return z[:, -1:] + actions[:, num_past - 1 :].cumsum(1)


class FoldedRollout:
    """The SharedRollout of any model: N candidates of B contexts are B x N sequences of their own, all at once.

    Args:
      model: predicts, by rollout(z, actions, window).
      window: most embeddings that a prediction sees.
      batch_size: most sequences that RolloutCost.predict gives the model at once.
    """

    def __init__(self, model, window, batch_size=None):
        self.model, self.window, self.batch_size = model, window, batch_size

    def __call__(self, z, past_actions):
        z = z[:, -self.window :]
        past_actions = past_actions[:, past_actions.shape[1] - (z.shape[1] - 1) :]

        def imagine(candidates):
            z_each, past_each = (
                tensor[:, None].expand(-1, candidates.shape[1], -1, -1) for tensor in (z, past_actions)
            )
            actions = torch.cat([past_each, candidates], dim=2)
            z_next = self.model.rollout(z_each.flatten(0, 1), actions.flatten(0, 1), self.window)
            return z_next.unflatten(0, candidates.shape[:2])

        return imagine
