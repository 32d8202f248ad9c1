"""Times our reader of clips beside those of stable-worldmodel: `python scripts/benchmarks/data.py --json table.json`.

A batch is --batch-size random clips of 4 frames at frameskip 5, with their actions and states, through a DataLoader
without workers. Every reader reads the same episodes, of frames of 64 and of 224 pixels: ours from the native format,
theirs from our HDF5 export (Blosc), and from the HDF5 (not compressed) and the Lance (JPEG, quality 95) that they write
themselves. Medians of --repeats batches, the readers in turn, in one process. The files are in the page cache; with
--cold they are dropped from it and opened again before each batch.
"""

import argparse
import gc
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils.data import DataLoader

from lewm.data.clips import Clips, as_batch
from lewm.data.convert.editing import NativeSource, copy
from lewm.data.convert.exporters import HDF5Writer
from lewm.data.device_clips import DeviceClips
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.metadata import Metadata
from lewm.data.normalize import ActionNormalizer
from lewm.distributed import use_all_cores
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.provenance import describe_process
from lewm.tracking import progress_bar
from scripts.benchmarks.measuring import machine

NUM_FRAMES, FRAMESKIP = 4, 5
PEER = "stable-worldmodel"
OURS = "native"

Open = Callable[[], tuple[Any, Any]]
"""Opens a reader: a dataset with __len__ and its collate function, None for torch's."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=40, help="of --steps steps (%(default)s)")
    parser.add_argument("--steps", type=int, default=90, help="(%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224], help="of the frames (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=21, help="batches behind a median (%(default)s)")
    parser.add_argument("--threads", type=int, help="of torch; all cores without it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of DeviceClips (%(default)s)")
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache before each batch")
    parser.add_argument("--folder", type=Path, help="where the data are made for the time of the run (the system's)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        check(args)
        use_all_cores(args.threads, num_local_ranks=1)
        console, rows = Console(), []
        with progress_bar(console) as progress, tempfile.TemporaryDirectory(dir=args.folder) as folder:
            for size in args.sizes:
                rows += race(Path(folder) / str(size), size, args, progress)
        console.print(as_table(rows, args.cold))
        installed = importlib.util.find_spec("stable_worldmodel") is not None
        if not installed:
            console.print(f"{PEER} is not installed here: its readers were not measured", soft_wrap=True)
        if args.json:
            results = {**describe_process(), "machine": machine("cpu"), "cold": args.cold, "rows": rows}
            results |= {"peer_installed": installed, "episodes": args.episodes, "steps": args.steps}
            write_json(args.json, results)


def check(args: argparse.Namespace) -> None:
    for name in ("episodes", "repeats", "batch_size"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)} must be at least 1")
    if args.steps < NUM_FRAMES * FRAMESKIP:
        raise InputError(f"--steps {args.steps} must be at least {NUM_FRAMES * FRAMESKIP}, what a clip spans")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU; give --device cpu")
    check_output("--json", args.json)


def race(folder: Path, size: int, args: argparse.Namespace, progress: Progress) -> list[dict[str, Any]]:
    """A row of numbers for each reader of the same episodes."""
    folder.mkdir()
    path = make_data(folder / "native", size, args.episodes, args.steps)
    readers = our_readers(path, args)
    if importlib.util.find_spec("stable_worldmodel"):
        readers |= their_readers(path, folder, progress)
    times = measure(readers, folder, args, progress, f"{size} px")
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return [
        {
            "reader": name,
            "frame_size": size,
            "batch_ms": 1e3 * seconds[name],
            "clips_per_s": args.batch_size / seconds[name],
            "times_slower": seconds[name] / seconds[OURS],
        }
        for name in readers
    ]


def make_data(path: Path, size: int, num_episodes: int, num_steps: int) -> Path:
    """Random walks in Two-Room."""
    env: Any = gym.make_vec("envs:lewm/TwoRoom-v0", num_episodes, frame_size=size)
    rng = np.random.default_rng(0)
    observations, actions = [env.reset(seed=0)[0]], []
    for _ in range(num_steps):
        actions.append(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        observations.append(env.step(actions[-1])[0])
    metadata = Metadata("envs:lewm/TwoRoom-v0", size, ["agent_x", "agent_y"], [-1.0, -1.0], [1.0, 1.0], {})
    with EpisodeWriter(path, metadata) as writer:
        for i in range(num_episodes):
            frames, states = (np.stack([seen[name][i] for seen in observations]) for name in ("pixels", "state"))
            writer.append(frames, states, np.stack([action[i] for action in actions]))
    return path


def our_readers(path: Path, args: argparse.Namespace) -> dict[str, Open]:
    unchanged = ActionNormalizer((0.0, 0.0), (1.0, 1.0))

    def native() -> tuple[Any, Any]:
        data = Episodes(path)
        return Clips(data, np.arange(len(data)), NUM_FRAMES, FRAMESKIP, unchanged), as_batch

    def on_device() -> tuple[Any, Any]:
        data = Episodes(path)
        return DeviceClips(data, np.arange(len(data)), NUM_FRAMES, FRAMESKIP, unchanged, args.device), as_batch

    return {OURS: native} if args.cold else {OURS: native, f"kept on {args.device}": on_device}


def their_readers(path: Path, folder: Path, progress: Progress) -> dict[str, Open]:
    """stable-worldmodel's readers, of our export and of what it writes itself."""
    from stable_worldmodel.data.formats.hdf5 import HDF5Dataset
    from stable_worldmodel.data.formats.hdf5 import HDF5Writer as PeerHDF5Writer
    from stable_worldmodel.data.formats.lance import LanceDataset, LanceWriter

    exported, plain, lance = folder / "exported.h5", folder / "plain.h5", folder / "data.lance"
    data = Episodes(path)  # open no longer than it is used: pages that are mapped cannot be dropped
    source = NativeSource(data)
    with HDF5Writer(exported, source.metadata) as writer:
        copy(source, writer, progress, "exporting to HDF5")
    for kind, path in ((PeerHDF5Writer, plain), (LanceWriter, lance)):
        with kind(path) as writer:
            writer.write_episodes(as_theirs(data))
    arguments = {"num_steps": NUM_FRAMES, "frameskip": FRAMESKIP, "keys_to_load": ["pixels", "action", "state"]}
    return {
        f"{PEER} HDF5, Blosc": lambda: (HDF5Dataset(path=exported, **arguments), None),
        f"{PEER} HDF5, plain": lambda: (HDF5Dataset(path=plain, **arguments), None),
        f"{PEER} Lance": lambda: (LanceDataset(path=lance, **arguments), None),
    }


def as_theirs(data: Episodes) -> Iterator[dict[str, list[NDArray]]]:
    for pixels, states, actions in NativeSource(data):
        yield {"pixels": list(pixels), "state": list(states), "action": [*actions, actions[-1]]}


def measure(
    readers: dict[str, Open], folder: Path, args: argparse.Namespace, progress: Progress, what: str
) -> dict[str, list[float]]:
    """Seconds of each batch; one batch of each reader goes before, unless they are cold."""
    bar = progress.add_task(f"reading {what}", total=args.repeats, unit="rounds")
    times: dict[str, list[float]] = {name: [] for name in readers}
    streams = {} if args.cold else {name: batches(*open_reader(), args, 0) for name, open_reader in readers.items()}
    for stream in streams.values():
        next(stream)
    for repeat in range(args.repeats):
        for name, open_reader in readers.items():
            if args.cold:
                streams.clear()
                gc.collect()
                drop_from_cache(folder)
                streams[name] = batches(*open_reader(), args, repeat)
            begin = time.perf_counter()
            next(streams[name])
            if args.device == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - begin)
        progress.advance(bar)
    return times


def batches(dataset: Any, collate: Any, args: argparse.Namespace, seed: int) -> Iterator[Any]:
    """Random batches without end."""
    rng = np.random.default_rng(seed)
    order = (rng.integers(len(dataset), size=args.batch_size).tolist() for _ in iter(int, 1))
    yield from DataLoader(dataset, batch_sampler=order, collate_fn=collate)


def drop_from_cache(folder: Path) -> None:
    """Asks the kernel to forget the pages of all files below a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())  # only written pages can be dropped
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def as_table(rows: list[dict[str, Any]], cold: bool) -> Table:
    state = "cold: dropped from the page cache" if cold else "in the page cache"
    table = Table(title=f"Clips per second, {state}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("reader", "px", "batch ms", "clips/s", "times slower"):
        table.add_column(header, justify="left" if header == "reader" else "right", no_wrap=True)
    for row in rows:
        times = f"{row['times_slower']:.3g}"
        table.add_row(
            row["reader"], str(row["frame_size"]), f"{row['batch_ms']:.3g}", f"{row['clips_per_s']:,.0f}", times
        )
    return table


if __name__ == "__main__":
    main()
