"""Sensitivity of embeddings to each state number, beside prediction errors.

`lewm sensitivity runs/my_run`

At frames of the run's held-out episodes, one state number after another is changed until it alone is at the edge of
success. Printed are the squared distances between the embeddings of both frames, and the squared errors of embeddings
that the model predicts for recorded actions. A planner cannot aim at a change that is smaller than these errors.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from envs.goal_env import State
from lewm.clip import Clip
from lewm.config import EnvConfig
from lewm.data.clips import Clips
from lewm.diagnostics.embedding import embed
from lewm.environment import make_env
from lewm.errors import InputError, one_line_errors
from lewm.models import JEPA
from lewm.run import Run

HORIZON = 5
"""Number of model steps predicted."""


def held_out_clips(run: Run, num_clips: int, rng: np.random.Generator) -> Clip:
    """Draws clips of a context and HORIZON steps from the held-out episodes of the run's own data."""
    data = run.data()
    _, held_out = run.split(data)
    clips = Clips(data, held_out, run.spec.model.context + HORIZON, run.spec.frameskip, run.spec.normalizer)
    return clips.__getitems__(rng.choice(len(clips), min(num_clips, len(clips)), replace=False))


def edge_of_success(env: Any, state: State, name: str, sign: int) -> float | None:
    """Change of one number that leads from `state` (S,) to the edge of success, a distance of 1.

    Args:
      env: a GoalEnv.
      state: (S,) state to start from, and the goal.
      name: state name of the number to change.
      sign: direction of the change, -1 or 1.

    Returns:
      The change with its sign; None if half a turn of an angle, or 10^4 of any other number, is not enough.
    """
    near, far = 0.0, np.pi if name in env.angles else 1e4
    if env.distance(env.moved(state, name, sign * far), state) < 1:
        return None
    for _ in range(60):
        middle = (near + far) / 2
        is_outside = env.distance(env.moved(state, name, sign * middle), state) >= 1
        near, far = (near, middle) if is_outside else (middle, far)
    return sign * far


class Distances(NamedTuple):
    """Latent distances caused by changes of one state number.

    Attributes:
      amount: median absolute change; nan if no state could be changed.
      squared: (M,) squared distances between embeddings, one for each state that could be changed.
      num_left_out: states without an edge of success, or whose changed state the environment refused.
    """

    amount: float
    squared: NDArray[np.float32]
    num_left_out: int


def latent_distances(
    model: JEPA, env: Any, states: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Distances]:
    """Latent distances by state name, for all numbers except velocities.

    Args:
      model: encodes the frames.
      env: a GoalEnv, which draws the frames.
      states: (N, S) states to change.
      rng: draws the direction of each change.
    """
    found = {}
    for name in (name for name in env.state_names if name not in env.velocities):
        pairs, amounts, num_left_out = [], [], 0
        for state in states:
            amount = edge_of_success(env, state, name, rng.choice([-1, 1]))
            try:
                frames = None if amount is None else [_draw(env, state), _draw(env, env.moved(state, name, amount))]
            except ValueError:  # the environment cannot be in that state
                frames = None
            if frames is None:
                num_left_out += 1
            else:
                pairs.append(frames)
                amounts.append(abs(amount))
        if not pairs:
            found[name] = Distances(np.nan, np.zeros(0, np.float32), num_left_out)
            continue
        z = embed(model, torch.from_numpy(np.array(pairs)).movedim(-1, -3), 512)
        squared = (z[:, 1] - z[:, 0]).square().sum(-1).numpy()
        found[name] = Distances(float(np.median(amounts)), squared, num_left_out)
    return found


def _draw(env: Any, state: State) -> NDArray[np.uint8]:
    env.set_state(state)
    return np.array(env.render())


@torch.inference_mode()
def prediction_errors(model: JEPA, pixels: Tensor, actions: Tensor) -> Tensor:
    """Squared errors of a rollout by step, and of predicting no change at the last step.

    Args:
      model: predicts HORIZON steps from the first T - HORIZON frames.
      pixels: (B, T, C, h, w) uint8 frames.
      actions: (B, T-1, A) normalized action blocks.

    Returns:
      (B, HORIZON + 1) squared errors.
    """
    z, seen = embed(model, pixels, 512), pixels.shape[1] - HORIZON
    errors = (model.rollout(z[:, :seen], actions) - z[:, seen:]).square().sum(-1)
    return torch.cat([errors, (z[:, -1:] - z[:, seen - 1 : seen]).square().sum(-1)], dim=1)


def print_rows(distances: dict[str, Distances], errors: Tensor, console: Console) -> None:
    table = Table()
    for header in ("squared distance in latent space", "median", "lower quartile", "upper quartile"):
        table.add_column(header, justify="left" if header.startswith("squared") else "right")
    rows = [
        (f"{name} off by {found.amount:.3g}", found.squared) for name, found in distances.items() if len(found.squared)
    ]
    words = [f"prediction, {step + 1} ahead" for step in range(HORIZON)] + [f"no change, {HORIZON} ahead"]
    rows += list(zip(words, errors.T.numpy(), strict=True))
    for word, values in rows:
        table.add_row(word, *(f"{np.quantile(values, share):.3g}" for share in (0.5, 0.25, 0.75)))
    console.print(table)
    for name, found in distances.items():
        if found.num_left_out:
            console.print(f"{name}: {found.num_left_out} frames left out, the environment cannot be put off there")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--frames", type=int, default=400, help="held-out frames (%(default)s)")
    args = parser.parse_args(arguments)
    with one_line_errors():
        if args.frames < 1:
            raise InputError(f"--frames {args.frames} must be at least 1")
        run = Run.open(args.run)
        env_config = run.config.env
        if not isinstance(env_config, EnvConfig):
            raise InputError(f"{args.run} was trained on recordings: no environment to put into other states")
        rng = np.random.default_rng(0)
        clip, env = held_out_clips(run, args.frames, rng), make_env(env_config)
        distances = latent_distances(run.model, env, clip.states[:, 0].double().numpy(), rng)
        env.close()
        print_rows(distances, prediction_errors(run.model, clip.pixels, clip.actions), Console())


if __name__ == "__main__":
    main()
