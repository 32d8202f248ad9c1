"""Collects a dataset with the environment's expert: `lewm collect env=push_t num_episodes=2000`.

Killed or interrupted at any moment, the same command goes on and ends with the same bytes.
"""

from dataclasses import replace

from rich.console import Console

from envs.experts import EXPERTS
from lewm.config import CollectConfig, build
from lewm.config.command_line import program
from lewm.data.collection import collect
from lewm.data.identity import choose_path
from lewm.tracking import progress_bar


@program("collect", CollectConfig)
def main(config: CollectConfig) -> None:
    env = config.env
    if config.num_episodes is not None:
        env = replace(env, collection=replace(env.collection, num_episodes=config.num_episodes))
    expert = build(EXPERTS, env.collection.expert, "expert")
    with progress_bar(Console()) as progress:
        collect(choose_path(env, config.data_path, config.data_root), env, expert, progress, config.num_workers)


if __name__ == "__main__":
    main()
