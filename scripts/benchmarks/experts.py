"""Success rates of the scripted experts: `python scripts/benchmarks/experts.py --json table.json`.

Every expert in configs/env that heads for a goal, alone where its configuration is a mixture, as it collects data and
once more without noise. An episode has a random start and goal, which is reached if one of its states, up to max_steps
of the configuration, is a success. Seeds are 0 to --episodes - 1 for all.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from envs.experts import EXPERTS, NOISE
from lewm.config import Component, EnvConfig, build
from lewm.environment import make_env
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.provenance import describe_process
from lewm.success_rates import wilson
from lewm.tracking import progress_bar
from scripts.benchmarks.env_speed import read_configs
from scripts.benchmarks.measuring import machine


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", help="names of configurations in configs/env; all of them without it")
    parser.add_argument("--episodes", type=int, default=200, help="of each expert (%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        if args.episodes < 1:
            raise InputError(f"--episodes {args.episodes} must be at least 1")
        check_output("--json", args.json)
        console, rows, left_out = Console(), [], {}
        with progress_bar(console) as progress:
            for name, config in read_configs(args.envs).items():
                try:
                    env = make_env(config)
                except InputError as error:
                    left_out[name] = str(error)
                    continue
                rows += [measure(env, config, expert, args.episodes, progress) for expert in experts_of(config)]
        console.print(as_table(rows))
        for name, reason in left_out.items():
            console.print(f"left out: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)
        if args.json:
            results = {**describe_process(), "machine": machine("cpu"), "left_out": left_out, "rows": rows}
            write_json(args.json, results)


def experts_of(config: EnvConfig) -> list[Component]:
    """Each expert that heads for a goal, as configured, then without noise if that is something else."""
    found = []
    for expert in directed(config.collection.expert):
        noise = {field.name: field.default for field in fields(EXPERTS[expert["name"]]) if field.name in NOISE}
        noisy, quiet = noise | expert, noise | expert | dict.fromkeys(noise, 0.0)
        found += [noisy] if quiet == noisy else [noisy, quiet]
    return found


def directed(expert: Component) -> Iterator[Component]:
    """The component itself, or the parts of a mixture, without those that head for no goal: random ones and replays."""
    if expert["name"] == "mixture":
        for part in expert["parts"]:
            yield from directed(part["expert"])
    elif expert["name"] not in ("uniform", "demonstrations") and expert.get("mode") != "uniform":
        yield expert


def measure(env: Any, config: EnvConfig, component: Component, num_episodes: int, progress: Progress) -> dict[str, Any]:
    """A row of numbers."""
    expert, max_steps = build(EXPERTS, component, "expert"), config.collection.max_steps
    bar = progress.add_task(f"{config.name} by {component['name']}", total=num_episodes, unit="episodes")
    steps = []
    for seed in range(num_episodes):
        steps.append(steps_to_goal(env, expert, max_steps, seed))
        progress.advance(bar)
    progress.remove_task(bar)
    reached = [step for step in steps if step is not None]
    return {
        "env": config.name,
        "expert": component,
        "max_steps": max_steps,
        **wilson(len(reached), num_episodes)._asdict(),
        "solved_at_start": steps.count(0),
        "median_steps": statistics.median(reached) if reached else None,
    }


def steps_to_goal(env: Any, expert: Any, max_steps: int, seed: int) -> int | None:
    """Steps of an episode until its goal is reached, 0 if that is where it starts; None if it is not reached."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    policy, goal = expert.begin(env, rng), info["goal_state"]
    action = np.zeros((1, *env.action_space.shape), np.float32)
    for step in range(max_steps + 1):
        if env.is_success(env.state, goal):
            return step
        action = policy(env.state[None], goal[None], action, rng)
        env.advance(action[0].astype(np.float64))
    return None


def as_table(rows: list[dict[str, Any]]) -> Table:
    episodes = f" in {rows[0]['trials']} episodes each" if rows else ""
    grid = Table(title=f"Goals that experts reach{episodes}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("expert", "noise", "reached", "95% interval", "at start", "steps"):
        grid.add_column(header, justify="left" if header == "expert" else "right", no_wrap=True)
    for row in rows:
        name, env = row["expert"]["name"], row["env"]
        grid.add_row(
            name if name == env else f"{name} in {env}",
            f"{row['expert']['noise_std']:g}" if "noise_std" in row["expert"] else "-",
            f"{row['rate']:.1%}",
            f"{100 * row['low']:.1f} to {100 * row['high']:.1f}%",
            str(row["solved_at_start"]),
            "-" if row["median_steps"] is None else f"{row['median_steps']:g} of {row['max_steps']}",
        )
    return grid


if __name__ == "__main__":
    main()
