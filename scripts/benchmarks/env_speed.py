"""Times steps with frames of the environments side by side: `python scripts/benchmarks/env_speed.py --json table.json`.

Every configuration in configs/env, and two environments of the package stable-worldmodel where it is installed. They
take turns in one process on one core; a turn is the beginning of an episode under random actions, without its reset.
"""

import argparse
import importlib.util
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from omegaconf import OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table

from lewm.config import CONFIGS, EnvConfig, from_dict
from lewm.environment import make_env
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.tracking import progress_bar
from scripts.benchmarks.measuring import machine

TURN_S = 0.2
PEERS = {"swm/PushT-v1": "push_t", "swm/TwoRoom-v1": "two_room"}
"""Environments of stable-worldmodel, and which of ours is the same task."""
INSTALL = "uv pip install stable-worldmodel==0.1.1 into an environment of its own, and run this there with PYTHONPATH=."
PACKAGES = ("numpy", "gymnasium", "pymunk", "mujoco", "dm_control", "ogbench", "stable-worldmodel")


class Contender(NamedTuple):
    """An environment and how to take one step in it and get its frame."""

    name: str
    frame_size: int
    env: Any
    step: Callable[[np.ndarray], Any]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", help="names of configurations in configs/env; all of them without it")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 224], help="of frames (%(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="turns behind a median (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="turns of two steps")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        if args.repeats < 1:
            raise InputError(f"--repeats {args.repeats} must be at least 1")
        check_output("--json", args.json)
        console = Console()
        contenders, left_out = enter(read_configs(args.envs), args.sizes)
        rows = race(contenders, args.repeats, 0.0 if args.quick else TURN_S, console)
        console.print(as_table(rows))
        for name, reason in left_out.items():
            console.print(f"left out: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)
        if args.json:
            results = {"command": sys.argv, "versions": versions(), "machine": machine("cpu")}
            write_json(args.json, {**results, "left_out": left_out, "rows": rows})


def read_configs(asked: list[str] | None) -> dict[str, EnvConfig]:
    """The environments in configs/env by name, or those asked for."""
    files: Any = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in (CONFIGS / "env").glob("*.yaml")}
    values = {name: file["env"] for name, file in sorted(files.items()) if "id" in file["env"]}  # others are recordings
    for name in asked or []:
        if name not in values:
            raise InputError(f"--envs {name}: there are {', '.join(values)}")
    return {name: from_dict(values[name], EnvConfig) for name in asked or values}


def enter(configs: dict[str, EnvConfig], sizes: list[int]) -> tuple[list[Contender], dict[str, str]]:
    """The environments that can be made here, and why the others cannot."""
    contenders, left_out = [], {}
    for name, config in configs.items():
        for size in sizes:
            try:
                env = make_env(replace(config, frame_size=size))
                contenders.append(Contender(name, size, env, env.step))
            except InputError as error:
                left_out[f"{name} {size}"] = str(error)
    peers = [peer for peer, ours in PEERS.items() if ours in configs]
    if peers and importlib.util.find_spec("stable_worldmodel") is None:
        return contenders, left_out | dict.fromkeys(peers, f"not installed; {INSTALL}")
    for peer in peers:
        contenders.extend(peer_contenders(peer, sizes))
    return contenders, left_out


def peer_contenders(name: str, sizes: list[int]) -> Iterator[Contender]:
    """A peer's environment at the sizes that it draws; Two-Room draws 224 only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import stable_worldmodel  # noqa: F401 (registers; half a minute, so only here)

        for size in sizes if name == "swm/PushT-v1" else [size for size in sizes if size == 224]:
            resolution = {"resolution": size} if name == "swm/PushT-v1" else {}
            env = gym.make(name, disable_env_checker=True, **resolution).unwrapped
            yield Contender(name, size, env, lambda action, env=env: (env.step(action), env.render()))


def race(contenders: list[Contender], repeats: int, turn_s: float, console: Console) -> list[dict[str, Any]]:
    """A row for each contender: steps with frames in a second."""
    num_steps = [max(2, int(turn_s / turn(contender, 2, 0) * 2)) for contender in contenders]
    seconds: list[list[float]] = [[] for _ in contenders]
    with progress_bar(console) as progress:
        task = progress.add_task("benchmark", total=repeats, unit="turns")
        for repeat in range(repeats):
            for contender, steps, times in zip(contenders, num_steps, seconds, strict=True):
                times.append(turn(contender, steps, repeat) / steps)
            progress.advance(task)
    rates = [1 / statistics.median(times) for times in seconds]
    rows = [
        {"name": contender.name, "frame_size": contender.frame_size, "steps_per_s": rate, "steps_in_a_turn": steps}
        for contender, rate, steps in zip(contenders, rates, num_steps, strict=True)
    ]
    peer_rates = {(PEERS[row["name"]], row["frame_size"]): row["steps_per_s"] for row in rows if row["name"] in PEERS}
    for row in rows:
        peer = peer_rates.get((row["name"], row["frame_size"]))
        row["times_peer"] = row["steps_per_s"] / peer if peer else None
    return rows


def turn(contender: Contender, num_steps: int, seed: int) -> float:
    """Seconds of the steps after a reset."""
    space = contender.env.action_space
    actions = np.random.default_rng(seed).uniform(space.low, space.high, (num_steps, *space.shape)).astype(space.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's
        contender.env.reset(seed=seed)
        begin = time.perf_counter()
        for action in actions:
            contender.step(action)
        return time.perf_counter() - begin


def as_table(rows: list[dict[str, Any]]) -> Table:
    grid = Table(title="Steps with a frame", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("", "pixels", "steps/s", "times peer"):
        grid.add_column(header, justify="right" if header else "left", no_wrap=True)
    for row in sorted(
        rows, key=lambda row: (row["frame_size"], PEERS.get(row["name"], row["name"]), -row["steps_per_s"])
    ):
        times = f"{row['times_peer']:.1f}" if row["times_peer"] else "-"
        grid.add_row(row["name"], str(row["frame_size"]), f"{row['steps_per_s']:,.0f}", times)
    return grid


def versions() -> dict[str, str]:
    """Of each package, or that it is not there."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    main()
