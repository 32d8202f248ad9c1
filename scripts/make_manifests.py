"""Draws the manifests of environments: `python scripts/make_manifests.py two_room push_t`.

For each environment manifests/<environment>/ gets the pairs that every model is tested on: offset_25.json,
offset_25_strict.json (no pair that is solved at the start), and so on, from the episodes that the shipped recipe
collects for evaluation alone, now if they are not there. An offset that they have too few pairs for gets as many as
there are, or no file.
"""

import argparse
import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rich.console import Console

from envs.experts import EXPERTS
from lewm.config import CONFIGS, EnvConfig, from_dict
from lewm.data.collection import collect_if_absent
from lewm.data.episodes import Episodes
from lewm.data.identity import dataset_path
from lewm.errors import InputError, one_line_errors
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.evaluation_episodes import recipe_of_test_episodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import MANIFESTS, committed, judged_in
from lewm.tracking import progress_bar

MIN_PAIRS = 50
"""Fewer pairs tell too little: a rate of 80% would have an interval of 24 points."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="+", help="files of configs/env")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the datasets (%(default)s)")
    parser.add_argument("--offsets", type=int, nargs="+", default=[25, 50, 75, 100], metavar="STEPS")
    parser.add_argument("--pairs", type=int, default=200, help="of each manifest (%(default)s)")
    args = parser.parse_args(arguments)
    with one_line_errors():
        for name in args.envs:
            make_manifests(read_env(name), args.root, args.offsets, args.pairs, Console())


def make_manifests(env: EnvConfig, root: Path, offsets: list[int], num_pairs: int, console: Console) -> None:
    """Draws and writes all manifests of one environment."""
    recipe = recipe_of_test_episodes(env)
    path = dataset_path(recipe, root)
    with progress_bar(console) as progress:
        collect_if_absent(path, recipe, EXPERTS, progress)
    data = Episodes(path)
    (MANIFESTS / env.name).mkdir(parents=True, exist_ok=True)
    with closing(EnvPool(env)) as pool:
        for offset, are_solved in itertools.product(offsets, (None, judged_in(pool))):
            file = committed(env.name, offset, are_solved is not None)
            ids = np.arange(len(data))
            manifest = Manifest.draw_up_to(data, ids, offset, num_pairs, seed=0, are_solved=are_solved)
            found = len(manifest)
            file.unlink(missing_ok=True)
            if found >= MIN_PAIRS:
                manifest.save(file)
            note = "" if found == num_pairs else f", all there are{': no file' if found < MIN_PAIRS else ''}"
            num_episodes = len(set(manifest.episodes))
            console.print(f"{file.relative_to(MANIFESTS.parent)}: {found} pairs of {num_episodes} episodes{note}")


def read_env(name: str) -> EnvConfig:
    """The environment of configs/env/<name>.yaml."""
    file = CONFIGS / "env" / f"{name}.yaml"
    if not file.exists():
        raise InputError(f"there is no {file}: give the name of a file of configs/env")
    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    env: EnvConfig = from_dict(values["env"], EnvConfig)
    return env


if __name__ == "__main__":
    main()
