"""Collects a dataset: episodes of a scripted policy, recorded by all cores, gone on with after any interruption."""

import platform
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import takewhile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.progress import Progress

from lewm.config import EnvConfig, build
from lewm.data.episode_arrays import Episode
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.metadata import Metadata
from lewm.data.recording import ChunkRecorder, Expert, ReplayExpert
from lewm.data.sources import describe_sources
from lewm.data.workers import Workers
from lewm.errors import InputError
from lewm.files import check_links
from lewm.processes import num_cores

LARGE = 10 * 10**9
"""Bytes of a dataset whose size is told before it is collected."""


def collect(
    path: str | Path, env_config: EnvConfig, expert: Expert, progress: Progress, num_workers: int | None = None
) -> None:
    """Writes the dataset that `env_config` describes to `path`, or goes on with what an interrupted call has written.

    The bytes do not depend on num_workers nor on interruptions.

    Args:
      path: folder of the dataset; what is unfinished lies in `<path>.partial`.
      env_config: the environment and what to collect.
      expert: expert that acts in the episodes.
      progress: shows the bar.
      num_workers: processes; None for all cores. One, or a single chunk, is recorded in this process.
    """
    config = env_config.collection
    if config.num_episodes < 2 or config.max_steps < 1:
        raise InputError(
            f"env.collection.num_episodes={config.num_episodes} must be at least 2, a training and a held-out episode,"
            f" and env.collection.max_steps={config.max_steps} at least 1"
        )
    if isinstance(expert, ReplayExpert) and config.num_episodes > (most := expert.num_sources * expert.variants):
        raise InputError(
            f"env.collection.num_episodes={config.num_episodes} is more than the {most} variants of"
            f" {expert.num_sources} recordings: raise env.collection.expert.variants={expert.variants}, or lower it"
        )
    check_links(Path(path))
    size = num_bytes(env_config)
    if size >= LARGE:
        existing = next(folder for folder in Path(path).absolute().parents if folder.exists())
        free = shutil.disk_usage(existing).free
        _say(progress, f"{path} takes up to {size / 1e9:,.0f} GB; {free / 1e9:,.0f} GB are free in {existing}")
    if num_workers is not None and num_workers < 1:
        raise InputError(f"num_workers={num_workers} must be at least 1")
    with (
        closing(ChunkRecorder(env_config, expert)) as recorder,
        EpisodeWriter(path, describe(env_config, expert, recorder), resumable=True) as writer,
    ):
        try:
            _keep_intact(writer, config.num_episodes, recorder.chunk_size, progress)
            begin, num_frames = time.perf_counter(), writer.num_frames
            _record_rest(writer, env_config, expert, recorder, progress, num_workers or num_cores())
        except KeyboardInterrupt:
            _say(
                progress,
                f"interrupted: {writer.num_committed} of {config.num_episodes} episodes are in {writer.partial};"
                " the same command goes on with them",
            )
            raise
    new, seconds = writer.num_frames - num_frames, time.perf_counter() - begin
    there = f" ({writer.num_frames:,} with those that were there)" if num_frames else ""
    _say(progress, f"collected {new:,} frames{there} at {new / seconds:,.0f} frames/s: {writer.path}")


def num_bytes(env_config: EnvConfig) -> int:
    """Bytes of the frames of a dataset whose episodes all have as many steps as they may."""
    config = env_config.collection
    return config.num_episodes * (config.max_steps + 1) * env_config.frame_size**2 * 3


def collect_if_absent(path: Path, env_config: EnvConfig, experts: dict[str, Any], progress: Progress) -> None:
    """Collects the dataset that `env_config` describes unless it is there; `experts` is the registry of its expert."""
    if not path.exists():
        collect(path, env_config, build(experts, env_config.collection.expert, "expert"), progress)


def _say(progress: Progress, line: str) -> None:
    """Prints one line that is not wrapped at the width of the terminal, so that paths stay whole."""
    progress.console.print(line, soft_wrap=True, highlight=False, markup=False)


def describe(env_config: EnvConfig, expert: Expert, recorder: ChunkRecorder) -> Metadata:
    """Metadata of what is collected: all that its bytes depend on."""
    single = recorder.single
    return Metadata(
        env_id=env_config.id,
        frame_size=env_config.frame_size,
        state_names=list(single.state_names),
        angles=list(single.angles),
        velocities=list(single.velocities),
        action_low=single.action_space.low.tolist(),
        action_high=single.action_space.high.tolist(),
        env_kwargs=dict(env_config.kwargs),
        collection={
            "expert": dict(env_config.collection.expert),
            "policy": re.sub(r" at 0x[0-9a-f]+", "", repr(expert)),
            "seed": env_config.collection.seed,
            "max_steps": env_config.collection.max_steps,
            "num_episodes": env_config.collection.num_episodes,
            "side_by_side": recorder.chunk_size,
            "versions": {"python": platform.python_version(), "numpy": np.__version__, "gymnasium": gym.__version__},
            "simulator": single.provenance(),
            **(describe_sources(expert.num_sources, expert.digest) if isinstance(expert, ReplayExpert) else {}),
        },
    )


def _keep_intact(writer: EpisodeWriter, num_episodes: int, chunk_size: int, progress: Progress) -> None:
    """Cuts what an interrupted call has left to the whole chunks in front of the first damaged episode."""
    if writer.num_episodes == 0:
        return
    found, num_intact = writer.num_episodes, 0
    bar = progress.add_task("checking what is there", total=found, unit="episodes")
    for _ in takewhile(bool, writer.intact()):
        num_intact += 1
        progress.advance(bar)
    progress.remove_task(bar)
    kept = min(num_intact, num_episodes)
    if kept < num_episodes:
        kept -= kept % chunk_size
    writer.truncate(kept)
    damage = f"; episode {num_intact} is damaged" if num_intact < found else ""
    _say(progress, f"going on with {kept} of {num_episodes} episodes in {writer.partial}{damage}")


def _record_rest(
    writer: EpisodeWriter,
    env_config: EnvConfig,
    expert: Expert,
    recorder: ChunkRecorder,
    progress: Progress,
    num_workers: int,
) -> None:
    """Records the chunks that are missing."""
    total = env_config.collection.num_episodes
    missing = range(-(-writer.num_episodes // recorder.chunk_size), recorder.num_chunks)
    bar = progress.add_task("collecting", total=total, completed=writer.num_episodes, unit="episodes")
    begin, num_frames = time.perf_counter(), writer.num_frames
    num_workers = min(num_workers, len(missing))
    with ExitStack() as stack:
        if num_workers > 1:
            workers = stack.enter_context(Workers(env_config, expert, num_workers, writer.partial))
            chunks: Iterator[Iterable[tuple[Episode, bytes]]] = workers.chunks(missing)
        else:
            chunks = _chunks(recorder, missing)
        for chunk in chunks:
            for episode, digest in chunk:
                writer.append(*episode, digest=digest)
            writer.commit()
            rate = (writer.num_frames - num_frames) / (time.perf_counter() - begin)
            description = f"collecting, {rate:,.0f} frames/s"
            progress.update(bar, completed=writer.num_episodes, description=description)


def _chunks(recorder: ChunkRecorder, numbers: range) -> Iterator[Iterator[tuple[Episode, bytes]]]:
    """Records chunks in this process, as Workers do in theirs."""
    for number in numbers:
        yield ((episode, episode.digest()) for episode in recorder.chunk(number))
