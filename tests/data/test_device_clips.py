"""Clips from a device are those from the disk; here the device is the CPU, or a meta device, which holds no values."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from lewm.data import device_clips
from lewm.data.clips import Clips, as_batch
from lewm.data.device_clips import DeviceClips, place_clips
from lewm.data.normalize import ActionNormalizer
from lewm.data.sampler import StepSampler
from tests.conftest import COUNTING_LENGTHS
from tests.programs import refusal

NORMALIZER = ActionNormalizer(mean=(3.0, 50.0), std=(2.0, 10.0))
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("episode_ids", [range(len(COUNTING_LENGTHS)), [1, 2, 4], [4, 0, 3]], ids=str)
@pytest.mark.parametrize(("num_frames", "frameskip"), [(4, 1), (3, 2), (1, 5), (4, 3)])
def test_every_clip_is_that_from_the_disk(counting_data, device, episode_ids, num_frames, frameskip):
    arguments = (counting_data, np.array(episode_ids), num_frames, frameskip, NORMALIZER)
    there, here = DeviceClips(*arguments, device), Clips(*arguments)
    assert len(there) == len(here)
    order = np.random.default_rng(0).permutation(len(here))
    for field, expected in zip(there.__getitems__(order), here.__getitems__(order), strict=True):
        assert field.device.type == device
        assert torch.equal(field.cpu(), expected)


def test_only_the_episodes_that_have_clips_are_copied(counting_data):
    clips = DeviceClips(counting_data, np.array([1, 3]), 2, 1, NORMALIZER, "cpu")
    assert len(clips._pixels) == COUNTING_LENGTHS[1] + COUNTING_LENGTHS[3] + 2
    clips = DeviceClips(counting_data, np.array([1, 3]), 2, 5, NORMALIZER, "cpu")  # the first is too short
    assert len(clips._pixels) == COUNTING_LENGTHS[3] + 1
    assert len(clips._actions) == COUNTING_LENGTHS[3]


class Transfers(TorchDispatchMode):
    """Counts what goes to a meta device, and refuses what makes the host wait for it."""

    WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")

    def __init__(self):
        super().__init__()
        self.uploads = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        assert not name.startswith(self.WAITS), name
        inputs = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)]
        result = function(*args, **kwargs)
        devices = {each.device.type for each in inputs}
        if isinstance(result, torch.Tensor) and devices:
            assert not ("meta" in devices and result.device.type == "cpu"), f"{name} fetches from the device"
            if "cpu" in devices and result.device.type == "meta":
                self.uploads += [
                    (each.dtype, tuple(each.shape), kwargs.get("non_blocking", False))
                    for each in inputs
                    if each.device.type == "cpu"
                ]
        return result


def test_a_batch_costs_one_upload_of_its_indices_and_no_wait(counting_data):
    clips = DeviceClips(counting_data, np.array([0, 2, 4]), 3, 2, NORMALIZER, "meta")
    with Transfers() as transfers:
        batch = clips.__getitems__([5, 1, 0, 7])
    assert transfers.uploads == [(torch.int64, (4,), True)]
    assert [field.device.type for field in batch] == ["meta"] * 3
    expected = Clips(counting_data, np.array([0, 2, 4]), 3, 2, NORMALIZER).__getitems__([5, 1, 0, 7])
    assert [field.shape for field in batch] == [field.shape for field in expected]


def test_the_counter_of_transfers_sees_waits_and_fetches():
    there = torch.empty(3, device="meta")
    with Transfers() as transfers:
        there + torch.ones(3).to("meta")
        assert len(transfers.uploads) == 1
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            torch.ones(()).item()
        with pytest.raises(AssertionError, match="nonzero"):
            torch.ones(3).nonzero()


@pytest.mark.gpu
def test_batches_asked_for_while_the_gpu_is_busy_are_right_and_wait_for_nothing(counting_data):
    arguments = (counting_data, np.arange(len(COUNTING_LENGTHS)), 3, 2, NORMALIZER)
    there, here = DeviceClips(*arguments, "cuda"), Clips(*arguments)
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(here), size=16).tolist() for _ in range(300)]
    there.__getitems__(draws[0])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.cuda._sleep(10**9)  # all uploads wait behind this
        batches = [there.__getitems__(indices) for indices in draws]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for indices, batch in zip(draws, batches, strict=True):
        for field, expected in zip(batch, here.__getitems__(indices), strict=True):
            assert torch.equal(field.cpu(), expected)


def clips_of(data):
    return Clips(data, np.array([0, 2, 4]), 3, 2, NORMALIZER)


FRAME_BYTES = 4 * 4 * 3
NEEDED = FRAME_BYTES * sum(COUNTING_LENGTHS[episode] + 1 for episode in (0, 2, 4))


@pytest.mark.parametrize("place", ["auto", "cuda"])
@pytest.mark.parametrize("free", [None, NEEDED / device_clips.ROOM + 1])
def test_frames_that_fit_are_placed_on_the_device_and_nothing_is_said(monkeypatch, counting_data, place, free):
    monkeypatch.setattr(device_clips, "_free_memory", lambda device: free)
    said = []
    placed = place_clips(clips_of(counting_data), place, torch.device("meta"), said.append)
    assert isinstance(placed, DeviceClips)
    assert len(placed._pixels) == NEEDED // FRAME_BYTES
    assert placed.owners.tolist() == clips_of(counting_data).owners.tolist()
    assert said == []


def test_auto_leaves_frames_that_do_not_fit_where_they_are_and_says_so(monkeypatch, counting_data):
    monkeypatch.setattr(device_clips, "_free_memory", lambda device: NEEDED / device_clips.ROOM - 1)
    clips, said = clips_of(counting_data), []
    assert place_clips(clips, "auto", torch.device("meta"), said.append) is clips
    (line,) = said
    assert "\n" not in line
    for word in (str(counting_data.path), "GB are free on meta", "70%", "data.device=auto"):
        assert word in line


def test_frames_that_have_to_be_on_the_gpu_and_do_not_fit_are_an_error(monkeypatch, counting_data):
    monkeypatch.setattr(device_clips, "_free_memory", lambda device: NEEDED / device_clips.ROOM - 1)
    message = refusal(place_clips, clips_of(counting_data), "cuda", torch.device("meta"), print)
    assert "GB are free on meta" in message and "give data.device=cpu" in message


@pytest.mark.parametrize(("place", "device"), [("auto", "cpu"), ("cpu", "cpu"), ("cpu", "meta")])
def test_on_a_cpu_and_where_it_is_wanted_frames_stay_in_their_files(counting_data, place, device):
    clips, said = clips_of(counting_data), []
    assert place_clips(clips, place, torch.device(device), said.append) is clips
    assert said == []


def test_a_loader_yields_the_batches_of_its_sampler(counting_data):
    clips = DeviceClips(counting_data, np.array([0, 2]), 3, 2, NORMALIZER, "cpu")
    sampler = StepSampler(clips.owners, 4, num_steps=3, seed=0)
    loader = DataLoader(clips, batch_sampler=sampler, collate_fn=as_batch, generator=torch.Generator())
    for clip, indices in zip(loader, sampler, strict=True):
        for field, expected in zip(clip, clips.__getitems__(indices), strict=True):
            assert torch.equal(field, expected)
