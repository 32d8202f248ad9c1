"""Batches of a training, on its device."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lewm.clip import Clip
from lewm.data.clips import Clips, as_batch
from lewm.data.device_clips import DeviceClips
from lewm.data.sampler import StepSampler
from lewm.distributed import num_local_ranks
from lewm.processes import num_cores

MAX_WORKERS = 8
"""Most processes that load the clips of one GPU by default."""

BATCHES_OF_A_WORKER = 3
"""Batches of a worker that are in shared memory at once: two that torch has it prepare, and one that is pinned."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps the batches of workers. Containers often have 64 MB of it."""

Say = Callable[[str], Any]


def load_batches(
    clips: Clips, sampler: StepSampler, num_workers: int | None, device: torch.device, say: Say
) -> Iterator[Clip]:
    """Loads the batches of a sampler on to a device.

    Frames that do not fit on a GPU stay in the dataset's files, of which the kernel keeps in memory what it has room
    for. Workers gather them, a thread of the DataLoader pins them, and each batch is uploaded while the step before it
    runs. They are not compressed: the codec would have to run on the GPU, and no package that this one needs has one.

    Args:
      clips: clips of the training episodes.
      sampler: sampler of this rank.
      num_workers: data.num_workers, processes that gather clips; None chooses.
      device: device of the training.
      say: is told, in one line, what is otherwise than one might expect.
    """
    loader = DataLoader(
        clips,
        batch_sampler=sampler,
        collate_fn=as_batch,
        num_workers=choose_num_workers(num_workers, clips, sampler.rank_batch_size, device, say),
        pin_memory=device.type == "cuda" and not isinstance(clips, DeviceClips),
        generator=torch.Generator(),  # otherwise making the iterator draws from the global generator
    )
    return iter(loader) if device.type == "cpu" or isinstance(clips, DeviceClips) else upload_ahead(loader, device)


def choose_num_workers(asked: int | None, clips: Clips, num_clips: int, device: torch.device, say: Say) -> int:
    """Number of processes that gather the clips of one rank.

    None are needed for frames on the device. By default there are none on a CPU either, where a step takes far longer
    than its clips; on a GPU they are the cores of the rank but one, as far as their batches fit in shared memory.

    Args:
      asked: data.num_workers; None chooses.
      clips: clips of the training episodes.
      num_clips: clips of a batch of one rank.
      device: device of the training.
      say: is told, in one line, if workers that were asked for are not needed, or if memory leaves room for none.
    """
    if isinstance(clips, DeviceClips):
        if asked:
            say(f"data.num_workers={asked} are not started: the frames are on {device}, which needs none")
        return 0
    if asked is not None:
        return asked
    if device.type == "cpu":
        return 0
    num_workers = min(max(num_cores() // num_local_ranks() - 1, 1), MAX_WORKERS)
    if not SHARED_MEMORY.is_dir():
        return num_workers
    free, batch = shutil.disk_usage(SHARED_MEMORY).free, num_clips * sum(part.nbytes for part in clips[0])
    room = free // (BATCHES_OF_A_WORKER * batch * num_local_ranks())
    if room == 0:
        say(
            f"no processes load clips: a batch takes {batch / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB of {SHARED_MEMORY}"
            " are free; give the container more, as by docker run --shm-size=8g"
        )
    return min(num_workers, room)


def upload_ahead(batches: Iterable[Clip], device: torch.device) -> Iterator[Clip]:
    """Uploads each batch on a stream of its own, while the step before it runs on the current stream.

    Args:
      batches: batches in pinned memory.
      device: a GPU.
    """
    uploads = torch.cuda.Stream(device)

    def upload(batch: Clip | None) -> Clip | None:
        if batch is None:
            return None
        # Memory that an earlier batch has left may be read still, by steps that are launched but have not run.
        uploads.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(uploads):
            return Clip(*(part.to(device, non_blocking=True) for part in batch))

    remaining = iter(batches)
    ahead = upload(next(remaining, None))
    while ahead is not None:
        torch.cuda.current_stream(device).wait_stream(uploads)
        batch, ahead = ahead, upload(next(remaining, None))
        yield batch
