"""Small replay buffers in the layout of Diffusion Policy, written by zarr itself."""

from dataclasses import replace

import numpy as np
import zarr

from envs.experts import EXPERTS
from lewm.config import build
from tests.registries import ENVS

LENGTHS = (6, 9, 5, 7, 8, 6, 9, 5, 7, 8, 6)
NUM_RECORDINGS = len(LENGTHS)
FRAME_SIZE = 96


def recordings():
    """(rows, 5) states and (rows, 2) targets of each episode: a disc that walks beside a block."""
    rng = np.random.default_rng(0)
    found = []
    for length in LENGTHS:
        start = rng.integers(50, 150, 2)
        targets = start + np.cumsum(rng.integers(-5, 12, (length, 2)), 0)
        pose = np.tile([300.0, 320.0, rng.uniform(0, 6)], (length, 1))
        disc = np.concatenate([start[None], targets[:-1]])
        found.append((np.concatenate([disc, pose], 1).astype(np.float32), targets.astype(np.float32)))
    return found


def columns(episodes):
    """The columns of a file with these episodes; frames tell episode and row."""
    lengths = [len(states) for states, _ in episodes]
    img = np.zeros((sum(lengths), FRAME_SIZE, FRAME_SIZE, 3), np.float32)
    img[..., 0] = np.repeat(np.arange(len(lengths)), lengths)[:, None, None]
    img[..., 1] = np.concatenate([np.arange(length) for length in lengths])[:, None, None]
    return {
        "data/state": np.concatenate([states for states, _ in episodes]),
        "data/action": np.concatenate([actions for _, actions in episodes]),
        "data/img": img,
        "data/n_contacts": np.zeros((sum(lengths), 1), np.float32),
        "meta/episode_ends": np.cumsum(lengths).astype(np.int64),
    }


def write_zarr(path, episodes=None, **changes):
    """A group of zarr version 2, compressed by Blosc with Zstandard; changes replace columns, None leaves one out."""
    from numcodecs import Blosc

    group = zarr.open_group(path, mode="w", zarr_format=2)
    for place, values in (columns(episodes or recordings()) | changes).items():
        if values is not None:
            chunks = (min(7, len(values)), *values.shape[1:])
            compressor = Blosc(cname="zstd", clevel=5)
            array = group.create_array(
                place, shape=values.shape, dtype=values.dtype, chunks=chunks, compressors=compressor
            )
            array[:] = values
    return path


def write_npz(path, episodes=None):
    """The same arrays without frames."""
    values = columns(episodes or recordings())
    named = {
        "state": values["data/state"],
        "action": values["data/action"],
        "episode_ends": values["meta/episode_ends"],
    }
    file = path.with_suffix(".npz")
    np.savez(file, **named)
    return file


def replay_config(path, num_episodes, split="train"):
    """Noisy replays of the recordings of a file, and their expert."""
    expert = {"name": "demonstrations", "path": str(path), "split": split, "variants": 3, "noise_std": 0.02}
    config = ENVS["push_t"]
    collection = replace(config.collection, expert=expert, num_episodes=num_episodes, num_test_episodes=4)
    config = replace(config, frame_size=48, collection=collection)
    return config, build(EXPERTS, expert, "expert")
