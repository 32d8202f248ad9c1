"""Clips from a device are those from the disk; here the device is the CPU."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lewm.data.clips import Clips, as_batch
from lewm.data.device_clips import DeviceClips
from lewm.data.normalize import ActionNormalizer
from lewm.data.sampler import StepSampler
from tests.conftest import COUNTING_LENGTHS

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


def test_only_the_episodes_that_are_used_are_copied(counting_data):
    clips = DeviceClips(counting_data, np.array([1, 3]), 2, 1, NORMALIZER, "cpu")
    assert len(clips._pixels) == COUNTING_LENGTHS[1] + COUNTING_LENGTHS[3] + 2


def test_a_loader_yields_the_batches_of_its_sampler(counting_data):
    clips = DeviceClips(counting_data, np.array([0, 2]), 3, 2, NORMALIZER, "cpu")
    sampler = StepSampler(clips.owners, 4, num_steps=3, seed=0)
    loader = DataLoader(clips, batch_sampler=sampler, collate_fn=as_batch, generator=torch.Generator())
    for clip, indices in zip(loader, sampler, strict=True):
        for field, expected in zip(clip, clips.__getitems__(indices), strict=True):
            assert torch.equal(field, expected)
