"""Episodes as arrays: one episode, and many in common arrays."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.episode_index import EpisodeIndex
from lewm.processes import num_cores


class Episode(NamedTuple):
    """One episode of L actions.

    Attributes:
      pixels: (L+1, h, w, C) uint8 frames; frame 0 is that of the reset.
      states: (L+1, S) float64 simulator states.
      actions: (L, a) float32 raw actions.
    """

    pixels: NDArray[np.uint8]
    states: NDArray[np.float64]
    actions: NDArray[np.float32]

    def digest(self) -> bytes:
        """SHA-256 of the arrays, their types and their shapes."""
        arrays = [np.ascontiguousarray(array) for array in self]
        digest = hashlib.sha256(repr([(array.dtype.str, array.shape) for array in arrays]).encode())
        for array in arrays:
            digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.digest()


@dataclass(eq=False)
class EpisodeArrays:
    """Episodes that lie one after another in common arrays.

    Attributes:
      pixels: (F, h, w, C) uint8 frames of all episodes.
      states: (F, S) float64 simulator states.
      actions: (F - E, a) float32 raw actions.
      index: where each of the E episodes lies.
    """

    pixels: NDArray[np.uint8]
    states: NDArray[np.float64]
    actions: NDArray[np.float32]
    index: EpisodeIndex

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, episode: int) -> Episode:
        """One episode, as views of the arrays."""
        frames, actions = self.index.frames(episode), self.index.actions(episode)
        return Episode(self.pixels[frames], self.states[frames], self.actions[actions])

    def __iter__(self) -> Iterator[Episode]:
        return (self[episode] for episode in range(len(self)))

    def have_digests(self, digests: NDArray[np.uint8]) -> Iterator[bool]:
        """Tells of each episode, in order, whether its digest is that of (E, 32). Reads everything, with all cores."""
        num_threads = num_cores()  # hashing releases the interpreter's lock

        def is_intact(episode: int) -> bool:
            return self[episode].digest() == digests[episode].tobytes()

        with ThreadPoolExecutor(num_threads) as pool:
            episodes = iter(range(len(self)))
            ahead = [pool.submit(is_intact, episode) for episode in islice(episodes, 4 * num_threads)]
            while ahead:
                yield ahead.pop(0).result()
                ahead += [pool.submit(is_intact, episode) for episode in islice(episodes, 1)]
