"""Collects a dataset with the environment's expert: `python scripts/collect.py env=two_room`."""

from rich.console import Console

from envs.experts import EXPERTS
from lewm.config import CollectConfig, build, program
from lewm.data.collection import collect
from lewm.data.episodes import Episodes
from lewm.tracking import progress_bar


@program("collect", CollectConfig)
def main(config: CollectConfig) -> None:
    console = Console()
    with progress_bar(console) as progress:
        expert = build(EXPERTS, config.env.collection.expert, "expert")
        collect(config.data_path, config.env, expert, progress)
    data = Episodes(config.data_path)
    console.print(f"{len(data)} episodes, {len(data.pixels)} frames: {data.path}")


if __name__ == "__main__":
    main()
