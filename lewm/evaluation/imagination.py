"""Imagination of a model: its first plans as it predicts them, beside what the environment shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.agent import Agent
from lewm.data.episodes import Episodes
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.play import Outcome
from lewm.evaluation.process_env_pool import ProcessEnvPool
from lewm.evaluation.traces import Trace

NUM_RECORDED = 1024
"""Recorded frames among which the nearest to an imagined embedding is looked for."""


def film_imagination(
    agent: Agent,
    trace: Trace,
    outcome: Outcome,
    pool: EnvPool | ProcessEnvPool,
    data: Episodes,
    frameskip: int,
    pairs: Sequence[int],
) -> dict[str, NDArray[Any]]:
    """Films the first plans of some pairs, executed to their ends without another look, and as they were imagined.

    Args:
      agent: agent whose model embeds frames.
      trace: trace of all P pairs.
      outcome: outcome of all P pairs.
      pool: environments that execute the plans.
      data: recorded frames, to show an embedding that has no frame of its own.
      frameskip: env steps from one imagined embedding to the next.
      pairs: numbers of the F pairs.

    Returns:
      film_pairs (F,), imagined_z (F, H, D), and (F, H, h, w, C) real_frames and imagined_frames, the recorded ones
      whose embeddings are nearest to what was imagined for the same steps; nothing of no pairs.
    """
    rows = np.array(pairs, np.int64)
    if not len(rows):
        return {}
    pool.begin(outcome.states[rows, 0])
    real = pool.step(trace.first_plan[rows]).states[:, frameskip - 1 :: frameskip]
    recorded = _some_frames(data)
    imagined = trace.imagined_z[rows]
    nearest = recorded[_nearest(imagined, agent.embed(recorded))]
    return {"film_pairs": rows, "imagined_z": imagined, "imagined_frames": nearest, "real_frames": pool.draw(real)}


def _some_frames(data: Episodes) -> NDArray[np.uint8]:
    """(n, h, w, C) frames from everywhere in a dataset."""
    chosen = np.random.default_rng(0).choice(len(data.pixels), min(NUM_RECORDED, len(data.pixels)), replace=False)
    frames: NDArray[np.uint8] = data.pixels[np.sort(chosen)]
    return frames


def _nearest(z: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.int64]:
    """(..., D), (n, D) -> (...) index of the nearest known embedding."""
    squared = np.square(known).sum(1) - 2 * z @ known.T  # but for what does not depend on `known`
    nearest: NDArray[np.int64] = squared.argmin(-1)
    return nearest
