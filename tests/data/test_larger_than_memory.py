"""A dataset of four times the memory that the process may have is read: its frames stay on the disk."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from lewm.data.episodes import content_hash
from lewm.data.metadata import FORMAT, VERSION, Metadata
from tests import LAST_NET_S

READER = """
import resource
import sys

import numpy as np

from lewm.data.clips import Clips
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.data.sampler import StepSampler


def memory(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


limit = int(sys.argv[2])
assert memory("VmData") < limit
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.zeros(limit, np.uint8)
except MemoryError:
    pass
else:
    sys.exit("the limit does not hold")
before = memory("RssAnon")
data = Episodes(sys.argv[1])
assert data.pixels.nbytes >= 4 * limit
clips = Clips(data, np.arange(len(data)), 4, 5, ActionNormalizer((0.0,), (1.0,)))
for indices in StepSampler(clips.owners, 64, num_steps=10, seed=0):
    assert clips.__getitems__(indices).pixels.shape == (64, 4, 3, 64, 64)
assert memory("RssAnon") - before < 64e6, memory("RssAnon") - before
"""

LENGTH = 199
LIMIT = 1_500_000_000
"""Bytes of memory of its own that the reader may have, of which torch needs most; mapped files do not count."""


def sparse_dataset(path, num_bytes):
    """A dataset of at least num_bytes of frames, all of them black, which take no room on the disk."""
    num_episodes = -(-num_bytes // ((LENGTH + 1) * 64 * 64 * 3))
    num_frames = num_episodes * (LENGTH + 1)
    path.mkdir()
    shapes = {"pixels": (np.uint8, (num_frames, 64, 64, 3)), "states": (np.float64, (num_frames, 1))}
    shapes |= {"actions": (np.float32, (num_frames - num_episodes, 1)), "digests": (np.uint8, (num_episodes, 32))}
    for name, (dtype, shape) in shapes.items():
        np.lib.format.open_memmap(path / f"{name}.npy", "w+", dtype, shape)
    np.save(path / "lengths.npy", np.full(num_episodes, LENGTH))
    metadata = asdict(Metadata("tests/Black-v0", 64, ["nothing"], [-1.0], [1.0], {}))
    described = {"format": FORMAT, "version": VERSION, "num_episodes": num_episodes, "num_frames": num_frames}
    described |= {"metadata": metadata, "content_hash": content_hash(np.zeros((num_episodes, 32), np.uint8))}
    (path / "metadata.json").write_text(json.dumps(described))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA bounds memory maps on Linux only")
def test_clips_of_a_dataset_larger_than_memory_are_read(tmp_path):
    sparse_dataset(tmp_path / "data", 4 * LIMIT)
    reader = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "data"), str(LIMIT)],
        cwd=Path(__file__).parents[2],
        env={"PATH": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=LAST_NET_S,
    )
    assert reader.returncode == 0, reader.stderr[-2000:]
