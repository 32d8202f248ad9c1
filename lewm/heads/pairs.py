"""Frames and goal frames of recorded episodes, with what lies between them: what heads learn from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.clips import training_actions
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError


class Pairs(NamedTuple):
    """N frames, each with frames before it and a goal frame.

    Attributes:
      frames: (N, T) indices into PairSampler.rows, K env steps apart, oldest first; the last is the one to act from.
      goals: (N,) indices of the goal frames.
      actions: (N, A) normalized action blocks that were acted out after the last frame.
    """

    frames: NDArray[np.int64]
    goals: NDArray[np.int64]
    actions: NDArray[np.float32]


class PairSampler:
    """Draws pairs of frames of whole episodes. Every frame can be drawn, whatever its place on the K-strided grid.

    Args:
      data: the dataset.
      episode_ids: (E,) the episodes to draw from.
      frameskip: K.
      normalizer: of the actions.

    Attributes:
      rows: (F,) row in the dataset of each frame of these episodes.
    """

    def __init__(self, data: Episodes, episode_ids: NDArray, frameskip: int, normalizer: ActionNormalizer) -> None:
        own = data.index.subset(episode_ids)
        if own.lengths.max() < frameskip:
            raise InputError(
                f"the longest episode of {data.path} has {own.lengths.max()} actions, less than a model step"
            )
        self._frameskip = frameskip
        owners, self._before = own.places(np.arange(len(own)))
        self._after = own.lengths[owners] - self._before
        self.rows = data.index.frame_rows(episode_ids[owners], self._before)
        self._first_action = own.action_rows(owners, self._before)
        self._actions = normalizer.normalize(training_actions(data, episode_ids)).numpy()
        self._starts = np.flatnonzero(self._after >= frameskip)

    def ahead(self, num: int, context: int, max_steps: int, rng: np.random.Generator) -> Pairs:
        """Draws goals 1 ... max_steps x K env steps ahead, as far as the episode goes, all equally likely.

        Goals less than a model step ahead are among them: to stay at a goal has to be learned, too.

        Mostly all `context` frames are shown, and a tenth of the time a random number of them, at least 1; the oldest
        stands for those before it, as at the start of an episode.
        """
        starts = self._starts[rng.integers(len(self._starts), size=num)]
        reach = np.minimum(max_steps * self._frameskip, self._after[starts])
        gaps = 1 + (rng.random(num) * reach).astype(np.int64)
        most_shown = np.minimum(context - 1, self._before[starts] // self._frameskip)
        shown = np.where(rng.random(num) < 0.1, rng.integers(context, size=num), context - 1)
        shown = np.minimum(shown, most_shown)
        back = np.minimum(np.arange(context)[::-1], shown[:, None])
        steps = self._first_action[starts][:, None] + np.arange(self._frameskip)
        return Pairs(
            frames=starts[:, None] - self._frameskip * back,
            goals=starts + gaps,
            actions=self._actions[steps].reshape(num, -1),
        )

    def apart(
        self, num: int, far_share: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Draws pairs at any distance.

        Args:
          num: N.
          far_share: share of the pairs whose second frame is any frame of any episode.
          rng: source of the pairs.

        Returns:
          (N,) first frames, (N,) second frames, both indices into `rows`, and (N,) model steps between them: from 0 to
          the end of the episode, all numbers of env steps equally likely, or inf.
        """
        first = rng.integers(len(self.rows), size=num)
        gaps = (rng.random(num) * (self._after[first] + 1)).astype(np.int64)
        is_far, anywhere = rng.random(num) < far_share, rng.integers(len(self.rows), size=num)
        second = np.where(is_far, anywhere, first + gaps)
        return first, second, np.where(is_far, np.inf, gaps / self._frameskip).astype(np.float32)


def choose_episodes(data: Episodes, episode_ids: NDArray, max_frames: int, seed: int) -> NDArray[np.int64]:
    """As many of the episodes, drawn at random, as have max_frames frames together; at least one."""
    order = np.random.default_rng(seed).permutation(episode_ids)
    return np.sort(order[: max(data.index.subset(order).num_whole(max_frames), 1)])
