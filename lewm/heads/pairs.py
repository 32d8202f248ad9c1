"""Pairs of a frame and a goal frame from recorded episodes, with the actions or the steps between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.clips import training_actions
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError


class GoalPairs(NamedTuple):
    """N frames with the frames before them, a goal frame for each, and the actions in between.

    Attributes:
      frames: (N, T) indices into PairSampler.rows, K env steps apart, oldest first; the last is the one to act from.
      goals: (N,) indices into PairSampler.rows, later in the same episode.
      actions: (N, A) normalized action blocks that were executed after the last frame.
    """

    frames: NDArray[np.int64]
    goals: NDArray[np.int64]
    actions: NDArray[np.float32]


class PairSampler:
    """Sampler of pairs of frames from some episodes of a dataset.

    Every frame of an episode can be drawn, whether or not it lies on the grid of every K-th frame.

    Args:
      data: dataset.
      episode_ids: (E,) indices of the episodes to draw from.
      frameskip: K, env steps in a model step.
      normalizer: statistics that actions are normalized by.

    Attributes:
      rows: (F,) row in the dataset of each frame of these episodes.

    Raises:
      InputError: no episode is as long as a model step.
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

    def ahead(self, num: int, context: int, max_steps: int, rng: np.random.Generator) -> GoalPairs:
        """Draws frames with goals 1 ... max_steps x K env steps ahead, within the episode, all equally likely.

        Goals less than a model step ahead are among them: to stay at a goal has to be learned, too.

        Mostly all `context` frames are shown, and a tenth of the time a random number of them, at least 1; the oldest
        stands for those before it, as at the start of an episode.

        Args:
          num: N, number of pairs.
          context: T, frames up to the one to act from, itself included.
          max_steps: most model steps from a frame to its goal.
          rng: source of the pairs.
        """
        starts = self._starts[rng.integers(len(self._starts), size=num)]
        reach = np.minimum(max_steps * self._frameskip, self._after[starts])
        gaps = 1 + (rng.random(num) * reach).astype(np.int64)
        most_shown = np.minimum(context - 1, self._before[starts] // self._frameskip)
        shown = np.where(rng.random(num) < 0.1, rng.integers(context, size=num), context - 1)
        shown = np.minimum(shown, most_shown)
        back = np.minimum(np.arange(context)[::-1], shown[:, None])
        steps = self._first_action[starts][:, None] + np.arange(self._frameskip)
        return GoalPairs(
            frames=starts[:, None] - self._frameskip * back,
            goals=starts + gaps,
            actions=self._actions[steps].reshape(num, -1),
        )

    def apart(
        self, num: int, far_share: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Draws pairs of frames at any distance.

        Args:
          num: N, number of pairs.
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
    """Draws whole episodes at random that have at most max_frames frames together, but at least one.

    Args:
      data: dataset.
      episode_ids: (E,) indices of the episodes to choose from.
      max_frames: most frames.
      seed: seed of the choice.

    Returns:
      (n,) indices of the chosen episodes, ascending.
    """
    order = np.random.default_rng(seed).permutation(episode_ids)
    return np.sort(order[: max(data.index.subset(order).num_whole(max_frames), 1)])
