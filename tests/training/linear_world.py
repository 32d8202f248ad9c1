"""A world whose frames are read exactly: two colours are the position, and an action moves it."""

import numpy as np
import torch
from rich.progress import Progress

from lewm.config import from_dict
from lewm.data.clips import split_episodes, training_actions
from lewm.data.episode_arrays import Episode
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.metadata import Metadata
from lewm.data.normalize import ActionNormalizer
from lewm.heads.config import HeadConfig, read_heads
from lewm.heads.fitting import fit_head
from tests.programs import TINY, compose
from tests.runs import spec_of

SPEED, NUM_ACTIONS, FRAMESKIP = 3, 20, 2
METADATA = Metadata("tests/Linear-v0", 4, ["x", "y"], [-SPEED] * 2, [SPEED] * 2, {})


def walk(rng):
    """An episode that goes SPEED along one axis in each step."""
    velocity = np.zeros(2)
    velocity[rng.integers(2)] = SPEED * rng.choice([-1, 1])
    states = rng.integers(65, 190, 2) + velocity * np.arange(NUM_ACTIONS + 1)[:, None]
    pixels = np.zeros((NUM_ACTIONS + 1, 4, 4, 3), np.uint8)
    pixels[..., :2] = states[:, None, None]
    return Episode(pixels, states, np.tile(velocity.astype(np.float32), (NUM_ACTIONS, 1)))


def write_walks(path, num_episodes=80):
    rng = np.random.default_rng(0)
    with EpisodeWriter(path, METADATA) as writer:
        for _ in range(num_episodes):
            writer.append(*walk(rng))
    return Episodes(path)


class PositionModel(torch.nn.Module):
    """Embeds a frame as its position in units of ten; counts what it embeds."""

    def __init__(self):
        super().__init__()
        self.unit = torch.nn.Parameter(torch.tensor(10.0))
        self.num_encoded = 0
        self.eval()

    def encode(self, pixels):
        self.num_encoded += pixels.shape[0] * pixels.shape[1]
        return pixels[:, :, :2, 0, 0] / self.unit


def spec_for(data):
    """A spec for PositionModel and the walks; an encoder of its own sees the four pixels as one patch."""
    sizes = ("env.frame_size=4", f"env.frameskip={FRAMESKIP}", "model.embedding_dim=2", "model.encoder.patch_size=4")
    config = compose(*TINY, *sizes)
    train_ids, _ = split_episodes(len(data), config.data.val_fraction, config.data.split_seed)
    normalizer = ActionNormalizer.fit(training_actions(data, train_ids))
    return spec_of(config, normalizer, (-SPEED,) * 2, (SPEED,) * 2, data.content_hash)


SMALL = {
    "num_steps": 400,
    "batch_size": 128,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "max_steps": 8,
    "far_share": 0.0,
    "max_frames": 10000,
    "precision": "float32",
}


def head_config(name, head=(), **fitting):
    """The configuration of configs/head/<name>.yaml, small."""
    component = read_heads([name])[0].head
    small = {key: value for key, value in {"hidden_dim": 64, "num_layers": 2}.items() if key in component}
    return from_dict({"head": component | small | dict(head), "fitting": SMALL | fitting}, HeadConfig)


def fit(data, config, model=None, seed=0, spec=None):
    quiet = Progress(disable=True)
    return fit_head(model or PositionModel(), spec or spec_for(data), data, config, seed=seed, progress=quiet)
