"""Replay of recorded actions in the environment, to check that actions, states and frames belong together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from lewm.data.convert.importers.source import env_config
from lewm.data.episode_arrays import Episode, EpisodeArrays
from lewm.data.metadata import Metadata
from lewm.environment import make_env
from lewm.errors import InputError

TOLERANCE = 1e-6
"""Of a state, relative to the largest value of that number in the episode, or to 1."""
NUM_RENDERED = 6


def replay_faults(
    arrays: EpisodeArrays, metadata: Metadata, num_replays: int, progress: Progress
) -> tuple[list[str], str | None]:
    """Plays evenly spaced episodes again from their first states.

    Returns:
      What is wrong, and a note if the environment cannot be made.
    """
    if not metadata.env_id.startswith("envs:"):  # what a dataset names is not imported unless it is ours
        return [], f"{metadata.env_id} is not one of the environments here: the actions were not played again"
    try:
        env = make_env(env_config(metadata.env_id, metadata.frame_size, metadata.env_kwargs))
    except InputError as error:
        return [], f"the actions were not played again: {error}"
    faults = []
    try:
        actions_shape, states_shape = arrays.actions.shape[1:], arrays.states.shape[1:]
        if env.action_space.shape != actions_shape or env.state.shape != states_shape:
            return [
                f"actions {actions_shape} and states {states_shape} are not those of {metadata.env_id},"
                f" {env.action_space.shape} and {env.state.shape}"
            ], None
        chosen = arrays.index.spaced(num_replays)
        bar = progress.add_task("playing again", total=len(chosen), unit="episodes")
        for number in chosen.tolist():
            fault = replay(env, arrays[number])
            faults += [f"episode {number}: {fault}"] if fault else []
            progress.advance(bar)
    finally:
        env.close()
    return faults, None


def replay(env: Any, episode: Episode) -> str | None:
    """The first thing that is wrong with an episode, or None."""
    pixels, states, actions = episode.pixels, np.array(episode.states), np.array(episode.actions)
    tolerance = TOLERANCE * np.maximum(1, np.abs(states).max(0))
    if not (np.isfinite(states).all() and np.isfinite(actions).all()):
        return None  # told elsewhere
    rendered = set(np.linspace(1, len(actions), min(NUM_RENDERED, len(actions))).round().astype(int).tolist())
    distances = []
    try:
        _start(env, states[0])
        for row, action in enumerate(actions):
            env.step(action)
            if (np.abs(env.state - states[row + 1]) > tolerance).any():
                return _departure(env, states, row + 1, tolerance) + _hint(env, states, actions)
            if row + 1 in rendered:
                distances.append(_distances(env.render(), pixels, row + 1))
    except ValueError as error:
        return f"the environment refuses one of its states ({error})"
    before, own, after = np.nanmean(np.array([*distances, (np.nan,) * 3]), 0) if distances else (0, 0, 0)
    if own > min(before, after):
        other = "before" if before < after else "after"
        return f"its frames are not those of its states: the frame of the row {other} shows a state better than its own"
    return None


def _departure(env: Any, states: NDArray[np.float64], row: int, tolerance: NDArray[np.float64]) -> str:
    worst = int(np.argmax(np.abs(env.state - states[row]) / tolerance))
    return (
        f"its actions do not lead from its first state to the recorded ones: in row {row}, state {worst} is"
        f" {states[row, worst]:g} and should be {env.state[worst]:g}"
    )


def _start(env: Any, state: NDArray[np.float64]) -> None:
    env.reset(seed=0, options={"state": state, "goal_state": state})


def _distances(image: NDArray[np.uint8], pixels: NDArray[np.uint8], row: int) -> tuple[float, float, float]:
    """Mean absolute difference of an image from the frames before, at and after a row."""
    rows = (row - 1, row, min(row + 1, len(pixels) - 1))
    before, own, after = (float(np.abs(pixels[i].astype(np.int16) - image).mean()) for i in rows)
    return before, own, after


def _hint(env: Any, states: NDArray[np.float64], actions: NDArray[Any]) -> str:
    """Whether the actions fit if they are moved by a row."""
    tolerance = TOLERANCE * np.maximum(1, np.abs(states).max(0))
    for shift, other in ((-1, "before"), (1, "after")):
        rows = range(1, min(len(actions) - 1, 9))
        fits = []
        for row in rows:
            _start(env, states[row])
            env.step(actions[row + shift])
            fits.append(bool((np.abs(env.state - states[row + 1]) <= tolerance).all()))
        if len(fits) >= 3 and all(fits):
            return f"; the action of the row {other} leads there: actions and frames are shifted against each other"
    return ""
