"""Draws the manifests of datasets: `python scripts/make_manifests.py data/two_room/<fingerprint>`.

For each dataset manifests/<environment>/ gets the pairs that every model is evaluated on: offset_25.json,
offset_25_strict.json (no pair that is solved at the start), and so on, from the episodes that configs/train.yaml holds
out. An offset that the held-out episodes have too few pairs for gets as many as there are, or no file.
"""

import argparse
import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from lewm.config import CONFIGS, EnvConfig, from_dict
from lewm.data.clips import split_episodes
from lewm.data.episodes import Episodes
from lewm.errors import InputError, one_line_errors
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import MANIFESTS, committed, judged_in

MIN_PAIRS = 50
"""Fewer pairs tell too little: a rate of 80% would have an interval of 24 points."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="datasets, each below a folder named like its environment")
    parser.add_argument("--offsets", type=int, nargs="+", default=[25, 50, 75, 100], metavar="STEPS")
    parser.add_argument("--pairs", type=int, default=200, help="of each manifest (%(default)s)")
    args = parser.parse_args(arguments)
    with one_line_errors():
        for path in args.data:
            make_manifests(path, args.offsets, args.pairs, Console())


def make_manifests(path: Path, offsets: list[int], num_pairs: int, console: Console) -> None:
    """Draws and writes all manifests of one dataset."""
    data, env = Episodes(path), read_env(path.absolute().parent.name)
    data.check_fits(env)
    shipped = OmegaConf.load(CONFIGS / "train.yaml").data
    _, held_out = split_episodes(len(data), shipped.val_fraction, shipped.split_seed)
    (MANIFESTS / env.name).mkdir(parents=True, exist_ok=True)
    with closing(EnvPool(env)) as pool:
        for offset, are_solved in itertools.product(offsets, (None, judged_in(pool))):
            file = committed(env.name, offset, are_solved is not None)
            manifest = Manifest.draw_up_to(data, held_out, offset, num_pairs, seed=0, are_solved=are_solved)
            found = len(manifest)
            file.unlink(missing_ok=True)
            if found >= MIN_PAIRS:
                manifest.save(file)
            note = "" if found == num_pairs else f", all there are{': no file' if found < MIN_PAIRS else ''}"
            console.print(f"{file.relative_to(MANIFESTS.parent)}: {found} pairs{note}")


def read_env(name: str) -> EnvConfig:
    """The environment of configs/env/<name>.yaml."""
    file = CONFIGS / "env" / f"{name}.yaml"
    if not file.exists():
        raise InputError(f"there is no {file}: the dataset has to lie in a folder named like its environment")
    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    env: EnvConfig = from_dict(values["env"], EnvConfig)
    return env


if __name__ == "__main__":
    main()
