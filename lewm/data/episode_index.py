"""Positions of episodes in arrays that hold all episodes one after another."""

import numpy as np
from numpy.typing import ArrayLike

from lewm.arrays import Rows


class EpisodeIndex:
    """Rows of each episode in the frame and action arrays of a dataset.

    An episode of L actions has L + 1 frames: action `step` leads from frame `step` to frame `step + 1`. A state has the
    row of its frame.

    Args:
      lengths: (E,) number of actions in each episode.

    Attributes:
      lengths: (E,) int64.
      frame_offsets: (E,) row of the first frame of each episode.
      action_offsets: (E,) row of the first action of each episode.

    Example:
      >>> index = EpisodeIndex([2, 3])
      >>> index.frames(1), index.actions(1)
      (slice(3, 7, None), slice(2, 5, None))
      >>> index.frame_rows([0, 1], [2, 0])
      array([2, 3])
    """

    def __init__(self, lengths: ArrayLike) -> None:
        self.lengths: Rows = np.asarray(lengths, np.int64)
        self._action_ends = np.cumsum(self.lengths)
        self._frame_ends = self._action_ends + np.arange(1, len(self.lengths) + 1)
        self.action_offsets: Rows = self._action_ends - self.lengths
        self.frame_offsets: Rows = self._frame_ends - self.lengths - 1

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def num_frames(self) -> int:
        """Number of frames of all episodes."""
        return int(self.lengths.sum()) + len(self)

    @property
    def num_actions(self) -> int:
        """Number of actions of all episodes."""
        return int(self.lengths.sum())

    def frames(self, episode: int) -> slice:
        """Rows of the L + 1 frames of one episode."""
        return slice(int(self.frame_offsets[episode]), int(self._frame_ends[episode]))

    def actions(self, episode: int) -> slice:
        """Rows of the L actions of one episode."""
        return slice(int(self.action_offsets[episode]), int(self._action_ends[episode]))

    def frame_rows(self, episodes: ArrayLike, steps: ArrayLike) -> Rows:
        """(N,) episodes, (N,) steps -> (N,) rows of the frames; the steps are not checked."""
        return self.frame_offsets[np.asarray(episodes)] + np.asarray(steps)

    def action_rows(self, episodes: ArrayLike, steps: ArrayLike) -> Rows:
        """(N,) episodes, (N,) steps -> (N,) rows of the actions; the steps are not checked."""
        return self.action_offsets[np.asarray(episodes)] + np.asarray(steps)

    def places(self, episodes: ArrayLike, room: int = 0) -> tuple[Rows, Rows]:
        """Lists the frames of some episodes that at least `room` actions follow.

        Args:
          episodes: (n,) episode numbers, in the order of the result.
          room: actions from the frame to the end of its episode; 0 gives all frames.

        Returns:
          (N,) episode of each frame, and (N,) its step in the episode.
        """
        episodes = np.asarray(episodes, np.int64)
        counts = np.maximum(self.lengths[episodes] - room + 1, 0)
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(episodes, counts), steps

    def subset(self, episodes: ArrayLike) -> "EpisodeIndex":
        """The index of a dataset that holds only these episodes, in this order."""
        return EpisodeIndex(self.lengths[np.asarray(episodes, np.int64)])

    def spaced(self, num_episodes: int) -> Rows:
        """Up to num_episodes different episode numbers, evenly spaced from the first to the last."""
        return np.unique(np.linspace(0, len(self) - 1, min(num_episodes, len(self))).round().astype(np.int64))

    def num_whole(self, num_frames: int, num_actions: int | None = None) -> int:
        """Number of leading episodes that lie wholly in the first num_frames frames and num_actions actions."""
        whole = np.searchsorted(self._frame_ends, num_frames, "right")
        if num_actions is not None:
            whole = min(whole, np.searchsorted(self._action_ends, num_actions, "right"))
        return int(whole)
