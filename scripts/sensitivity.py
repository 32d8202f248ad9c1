"""What latent distance sees, beside what prediction blurs: `python scripts/sensitivity.py runs/my_run`.

At held-out frames one number of the state after another is put off until it alone is at the edge of success. Printed
are the squared distances between the embeddings of both frames, and the squared errors of embeddings that the model
predicts for recorded actions. What the errors drown, a planner cannot aim at.
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
from envs.push_t import PushT
from envs.push_t_blocks import to_world
from lewm.config import EnvConfig
from lewm.data.clips import Clips
from lewm.diagnostics.embedding import embed
from lewm.environment import make_env
from lewm.errors import InputError, one_line_errors
from lewm.models import JEPA
from lewm.run import Run

HORIZON = 5
"""Model steps that are predicted."""


def moved(env: Any, state: State, name: str, amount: float) -> State:
    """(S,) state with one number off by `amount`. Push-T's block turns about its centre of mass: only turns."""
    index = env.state_names.index(name)
    found = state.copy()
    found[index] += amount
    if name in env.angles:
        found[index] %= 2 * np.pi
    if isinstance(env, PushT) and name == "block_angle":
        centre = np.array(env.simulator.block.centre)
        found[2:4] += to_world(centre, np.zeros(2), state[4]) - to_world(centre, np.zeros(2), found[4])
    return found


def edge_of_success(env: Any, state: State, name: str, sign: int) -> float | None:
    """How far a number has to be off for a distance of 1; None if up to half a turn, or 10^4, does not do it."""
    near, far = 0.0, np.pi if name in env.angles else 1e4
    if env.distance(moved(env, state, name, sign * far), state) < 1:
        return None
    for _ in range(60):
        middle = (near + far) / 2
        is_outside = env.distance(moved(env, state, name, sign * middle), state) >= 1
        near, far = (near, middle) if is_outside else (middle, far)
    return sign * far


class Distances(NamedTuple):
    """What putting one number of the state off does.

    Attributes:
      amount: median of how far it was off; nan if no state could be moved.
      squared: (M,) squared distances between embeddings, one for each state that could be moved.
      num_left_out: states for which the environment refused the other one, or that no amount brings to the edge.
    """

    amount: float
    squared: NDArray[np.float32]
    num_left_out: int


def latent_distances(
    model: JEPA, env: Any, states: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Distances]:
    """By name of the number that was put off: all that are no velocities."""
    found = {}
    for name in (name for name in env.state_names if "velocity" not in name):
        pairs, amounts, num_left_out = [], [], 0
        for state in states:
            amount = edge_of_success(env, state, name, rng.choice([-1, 1]))
            try:
                frames = None if amount is None else [_draw(env, state), _draw(env, moved(env, state, name, amount))]
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
    """(B, T, C, h, w) frames, (B, T-1, A) -> (B, HORIZON + 1): squared errors by step, and of no change at the last."""
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
        data, rng = run.data(), np.random.default_rng(0)
        _, held_out = run.split(data)
        model, num_frames = run.model, run.spec.model.context + HORIZON
        clips = Clips(data, held_out, num_frames, run.spec.frameskip, run.spec.normalizer)
        clip = clips.__getitems__(rng.choice(len(clips), min(args.frames, len(clips)), replace=False))
        env = make_env(env_config)
        distances = latent_distances(model, env, clip.states[:, 0].double().numpy(), rng)
        env.close()
        print_rows(distances, prediction_errors(model, clip.pixels, clip.actions), Console())


if __name__ == "__main__":
    main()
