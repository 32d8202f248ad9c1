"""Batches of a training: processes that load them, and uploads one step ahead on a GPU that is played here."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lewm.clip import Clip
from lewm.data import batches
from lewm.data.batches import MAX_WORKERS, choose_num_workers, load_batches, upload_ahead
from lewm.data.clips import Clips
from lewm.data.device_clips import DeviceClips
from lewm.data.normalize import ActionNormalizer
from lewm.data.sampler import StepSampler

CPU, GPU = torch.device("cpu"), torch.device("cuda")
ARGUMENTS = (np.array([0, 2, 4]), 3, 2, ActionNormalizer(mean=(3.0, 50.0), std=(2.0, 10.0)))
CLIP_BYTES = 3 * 4 * 4 * 3 + 2 * 4 * 4 + 3 * 2 * 8  # pixels, actions, states
BATCH_SIZE = 4


@pytest.fixture
def clips(counting_data):
    return Clips(counting_data, *ARGUMENTS)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Sets the cores, local ranks and shared memory of the machine."""

    def make(num_cores=16, num_ranks=1, shared_memory=10**9):
        monkeypatch.setattr(batches, "num_cores", lambda: num_cores)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(num_ranks))
        monkeypatch.setattr(batches, "SHARED_MEMORY", tmp_path if shared_memory is not None else tmp_path / "none")
        usage = SimpleNamespace(free=shared_memory)
        monkeypatch.setattr(batches, "shutil", SimpleNamespace(disk_usage=lambda path: usage))

    return make


def chosen(asked, clips, device, num_lines=0):
    said = []
    num_workers = choose_num_workers(asked, clips, BATCH_SIZE, device, said.append)
    assert len(said) == num_lines and all("\n" not in line for line in said)
    return (num_workers, *said)


def test_a_cpu_needs_no_processes_unless_it_is_told_otherwise(machine, clips):
    machine()
    assert chosen(None, clips, CPU) == (0,)
    assert chosen(3, clips, CPU) == (3,)


@pytest.mark.parametrize(
    ("num_cores", "num_ranks", "expected"), [(16, 1, MAX_WORKERS), (6, 1, 5), (16, 4, 3), (2, 1, 1), (1, 1, 1)]
)
def test_a_gpu_that_frames_do_not_fit_on_has_the_cores_of_its_rank_but_one(
    machine, clips, num_cores, num_ranks, expected
):
    machine(num_cores, num_ranks)
    assert chosen(None, clips, GPU) == (expected,)
    machine(num_cores, num_ranks, shared_memory=None)
    assert chosen(None, clips, GPU) == (expected,)
    assert chosen(2, clips, GPU) == (2,)
    assert chosen(0, clips, GPU) == (0,)


def test_processes_are_no_more_than_shared_memory_has_room_for(machine, clips):
    machine(shared_memory=2 * batches.BATCHES_OF_A_WORKER * BATCH_SIZE * CLIP_BYTES)
    assert chosen(None, clips, GPU) == (2,)
    machine(shared_memory=batches.BATCHES_OF_A_WORKER * BATCH_SIZE * CLIP_BYTES - 1)
    num_workers, line = chosen(None, clips, GPU, num_lines=1)
    assert num_workers == 0
    assert "--shm-size" in line


@pytest.mark.parametrize("asked", [None, 0, 8])
def test_frames_on_the_device_need_no_processes_and_say_so_to_who_asks_for_them(machine, counting_data, asked):
    machine()
    there = DeviceClips(counting_data, *ARGUMENTS, "meta")
    num_workers, *said = chosen(asked, there, GPU, num_lines=1 if asked else 0)
    assert num_workers == 0
    assert not asked or "data.num_workers=8" in said[0]


def test_on_a_cpu_the_batches_are_those_of_the_sampler(clips):
    sampler = StepSampler(clips.owners, BATCH_SIZE, num_steps=3, seed=0)
    loaded = list(load_batches(clips, sampler, None, CPU, print))
    for batch, indices in zip(loaded, sampler, strict=True):
        for field, expected in zip(batch, clips.__getitems__(indices), strict=True):
            assert torch.equal(field, expected)


class Stream:
    """A CUDA stream: `ends` are the operations that have ended by the time that its next one begins."""

    def __init__(self, device=None):
        self.ends = set()

    def wait_stream(self, other):
        self.ends |= other.ends

    def run(self, operation):
        """Returns what has ended when it begins."""
        before = frozenset(self.ends)
        self.ends.add(operation)
        return before


class PlayedCuda:
    """The streams of torch.cuda, without a GPU.

    Attributes:
      current: stream that operations go to.
      before: operations that have ended when an operation begins.
    """

    Stream = Stream

    def __init__(self):
        self.current, self.before = Stream(), {}

    def current_stream(self, device):
        assert device == GPU
        return self.current

    @contextmanager
    def stream(self, stream):
        outer, self.current = self.current, stream
        yield
        self.current = outer

    def launch(self, operation):
        self.before[operation] = self.current.run(operation)


class Part:
    """A tensor of batch number `step` in pinned memory."""

    def __init__(self, cuda, step):
        self.cuda, self.step = cuda, step

    def to(self, device, non_blocking):
        assert device == GPU and non_blocking
        self.cuda.launch(f"upload {self.step}")
        return f"batch {self.step}"


@pytest.fixture
def played(monkeypatch):
    """The streams after a training of five steps."""
    cuda = PlayedCuda()
    monkeypatch.setattr(batches, "torch", SimpleNamespace(cuda=cuda))
    pinned = (Clip(*[Part(cuda, step)] * 3) for step in range(5))
    cuda.yielded = []
    for step, batch in enumerate(upload_ahead(pinned, GPU)):
        cuda.yielded.append(batch)
        cuda.launch(f"step {step}")
    return cuda


def test_every_batch_is_yielded_in_order(played):
    assert played.yielded == [Clip(*[f"batch {step}"] * 3) for step in range(5)]


def test_a_step_begins_after_its_batch_is_there(played):
    for step in range(5):
        assert f"upload {step}" in played.before[f"step {step}"]


def test_a_batch_is_uploaded_while_the_step_before_it_runs(played):
    for step in range(1, 5):
        assert f"step {step - 1}" not in played.before[f"upload {step}"]
        assert f"upload {step}" not in played.before[f"step {step - 1}"]


def test_the_memory_of_a_batch_is_written_again_after_its_step(played):
    """Batch i's memory is free once batch i + 1 is being used, so upload i + 2 may get it."""
    for step in range(2, 5):
        assert f"step {step - 2}" in played.before[f"upload {step}"]


def test_no_batches_are_no_uploads(monkeypatch):
    monkeypatch.setattr(batches, "torch", SimpleNamespace(cuda=PlayedCuda()))
    assert list(upload_ahead([], GPU)) == []


@pytest.mark.gpu
@pytest.mark.filterwarnings("default:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_on_a_gpu_are_those_of_the_sampler(clips, num_workers):
    sampler = StepSampler(clips.owners, BATCH_SIZE, num_steps=40, seed=0)
    sums = []
    for batch in load_batches(clips, sampler, num_workers, GPU, print):
        torch.cuda._sleep(10**6)  # the step is slower than the uploads
        sums.append([field.double().sum() for field in batch])
    for values, indices in zip(sums, sampler, strict=True):
        expected = [field.double().sum() for field in clips.__getitems__(indices)]
        assert [value.item() for value in values] == pytest.approx([value.item() for value in expected])
