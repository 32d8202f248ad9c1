"""Collects a dataset with the environment's expert: `python scripts/collect.py env=two_room`."""

from rich.console import Console

from envs.experts import EXPERTS
from lewm.command_line import program
from lewm.config import CollectConfig, build
from lewm.data.collection import collect
from lewm.tracking import progress_bar


@program("collect", CollectConfig)
def main(config: CollectConfig) -> None:
    expert = build(EXPERTS, config.env.collection.expert, "expert")
    with progress_bar(Console()) as progress:
        collect(config.data_path, config.env, expert, progress)


if __name__ == "__main__":
    main()
