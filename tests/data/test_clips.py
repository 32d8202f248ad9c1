"""Frames, actions and states of a clip belong together; the counting dataset tells where each came from."""

import mmap
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lewm.data.clips import Clips, as_batch, fit_normalizer, split_episodes, training_actions
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.data.sampler import StepSampler
from lewm.errors import InputError
from tests.conftest import COUNTING_LENGTHS
from tests.fakes import COUNTING_METADATA, counting_episode

UNCHANGED = ActionNormalizer(mean=(0.0, 0.0), std=(1.0, 1.0))
ALL_EPISODES = np.arange(len(COUNTING_LENGTHS))
SHAPES = [(4, 1), (4, 3), (2, 5), (1, 5), (3, 2)]  # (num_frames, frameskip)


def all_clips(data, num_frames, frameskip, episode_ids=ALL_EPISODES):
    clips = Clips(data, episode_ids, num_frames, frameskip, UNCHANGED)
    return clips.__getitems__(np.arange(len(clips)))


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape[0]} frames, frameskip {shape[1]}")
def shape(request):
    return request.param


def test_a_clip_has_the_shapes_and_types_of_its_docstring(counting_data):
    clip = all_clips(counting_data, num_frames=4, frameskip=3)
    num_clips = len(clip.pixels)
    assert clip.pixels.shape == (num_clips, 4, 3, 4, 4) and clip.pixels.dtype == torch.uint8
    assert clip.actions.shape == (num_clips, 3, 3 * 2) and clip.actions.dtype == torch.float32
    assert clip.states.shape == (num_clips, 4, 2) and clip.states.dtype == torch.float64


def test_frames_are_one_model_step_apart(counting_data, shape):
    num_frames, frameskip = shape
    shown = all_clips(counting_data, num_frames, frameskip).pixels[:, :, 0, 0, 0].long()
    assert torch.equal(shown, shown[:, :1] + frameskip * torch.arange(num_frames))


def test_a_state_is_that_of_its_frame(counting_data, shape):
    clip = all_clips(counting_data, *shape)
    assert torch.equal(clip.states[..., 0], clip.pixels[:, :, 1, 0, 0].double())
    assert torch.equal(clip.states[..., 1], clip.pixels[:, :, 0, 0, 0].double())


def test_action_block_t_leads_from_frame_t_to_the_next_with_its_steps_in_order(counting_data, shape):
    num_frames, frameskip = shape
    clip = all_clips(counting_data, num_frames, frameskip)
    blocks = clip.actions.reshape(len(clip.actions), num_frames - 1, frameskip, 2)
    steps = clip.pixels[:, :-1, 0, 0, 0, None].float() + torch.arange(frameskip)
    assert torch.equal(blocks[..., 0], steps)
    assert torch.equal(blocks[..., 1], 100 * clip.pixels[:, :-1, 1, 0, 0, None].float() + steps)


def test_no_clip_crosses_an_episode(counting_data, shape):
    clip = all_clips(counting_data, *shape)
    episodes = clip.pixels[:, :, 1, 0, 0]
    assert torch.equal(episodes, episodes[:, :1].expand_as(episodes))


def test_every_start_that_leaves_room_for_a_clip_is_one(counting_data, shape):
    num_frames, frameskip = shape
    span = (num_frames - 1) * frameskip
    first = all_clips(counting_data, num_frames, frameskip).states[:, 0].long().tolist()
    expected = [[e, t] for e, length in enumerate(COUNTING_LENGTHS) for t in range(length - span + 1)]
    assert first == expected


def test_clips_come_from_the_given_episodes_only(counting_data):
    clip = all_clips(counting_data, num_frames=2, frameskip=3, episode_ids=np.array([2, 4]))
    assert set(clip.states[..., 0].flatten().tolist()) == {2.0, 4.0}


def test_one_clip_is_the_row_of_a_batch(counting_data):
    clips = Clips(counting_data, ALL_EPISODES, 3, 2, UNCHANGED)
    batch = clips.__getitems__([5, 11])
    for field, one in zip(batch, clips[11], strict=True):
        assert torch.equal(field[1], one)


def test_actions_of_a_clip_are_normalized(counting_data):
    normalizer = ActionNormalizer(mean=(3.0, 50.0), std=(2.0, 10.0))
    raw = Clips(counting_data, ALL_EPISODES, 3, 2, UNCHANGED)[7].actions
    normalized = Clips(counting_data, ALL_EPISODES, 3, 2, normalizer)[7].actions
    expected = (raw - torch.tensor([3.0, 50.0] * 2)) / torch.tensor([2.0, 10.0] * 2)
    torch.testing.assert_close(normalized, expected)


def test_only_the_frames_of_the_clip_are_read(counting_data):
    class Recorded:
        def __init__(self, array):
            self.array, self.rows = array, []

        def __getitem__(self, index):
            self.rows += np.ravel(index).tolist()
            return self.array[index]

    data = pickle.loads(pickle.dumps(counting_data))
    data.pixels = Recorded(data.pixels)
    Clips(data, np.array([2]), num_frames=3, frameskip=5, normalizer=UNCHANGED)[1]
    start = data.index.frame_offsets[2] + 1
    assert data.pixels.rows == [start, start + 5, start + 10]


class RecordedMap(mmap.mmap):
    """Remembers which bytes it was asked to read ahead."""

    def madvise(self, option, start, length):
        assert option == mmap.MADV_WILLNEED and start % mmap.PAGESIZE == 0
        self.asked.append((start, start + length))


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="no read-ahead on this system")
def test_a_batch_has_the_kernel_read_its_frames_ahead(counting_data):
    row_bytes, header = mmap.PAGESIZE // 2, 128  # as .npy files have one: rows begin within pages and cross them
    num_frames = counting_data.index.num_frames
    mapped = RecordedMap(-1, header + num_frames * row_bytes)
    mapped.asked = []
    pixels = np.ndarray.__new__(np.memmap, (num_frames, row_bytes, 1, 1), np.uint8, buffer=mapped, offset=header)
    pixels.offset = header
    data = pickle.loads(pickle.dumps(counting_data))
    data.pixels = pixels
    Clips(data, np.array([2]), num_frames=3, frameskip=5, normalizer=UNCHANGED).__getitems__([1])
    start = data.index.frame_offsets[2] + 1
    expected = [header + row * row_bytes for row in (start, start + 5, start + 10)]
    for (begin, end), row_begin in zip(mapped.asked, expected, strict=True):
        assert begin <= row_begin < begin + mmap.PAGESIZE
        assert end == row_begin + row_bytes


def test_a_clip_longer_than_every_episode_is_refused_in_one_line(counting_data):
    with pytest.raises(InputError, match="frameskip") as error:
        Clips(counting_data, ALL_EPISODES, num_frames=4, frameskip=7, normalizer=UNCHANGED)
    assert "\n" not in str(error.value)


def test_a_loader_yields_the_batches_of_its_sampler(counting_data):
    clips = Clips(counting_data, ALL_EPISODES, 3, 2, UNCHANGED)
    sampler = StepSampler(clips.owners, 4, num_steps=3, seed=0)
    loader = DataLoader(clips, batch_sampler=sampler, collate_fn=as_batch, generator=torch.Generator())
    for clip, indices in zip(loader, sampler, strict=True):
        assert type(clip).__name__ == "Clip"
        for field, expected in zip(clip, clips.__getitems__(indices), strict=True):
            assert torch.equal(field, expected)


def test_a_split_gives_every_episode_to_one_side():
    train, held_out = split_episodes(57, val_fraction=0.2, seed=0)
    assert sorted([*train, *held_out]) == list(range(57))
    assert len(held_out) == 11


def test_a_split_is_a_function_of_its_seed():
    first, second, other = (split_episodes(50, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == second
    assert first != other


@pytest.mark.parametrize("val_fraction", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_both_sides_of_a_split_have_an_episode(val_fraction):
    train, held_out = split_episodes(5, val_fraction, seed=0)
    assert min(len(train), len(held_out)) >= 1


def test_a_single_episode_cannot_be_split():
    with pytest.raises(InputError, match="at least 2"):
        split_episodes(1, 0.5, seed=0)


def test_training_actions_are_those_of_the_given_episodes(counting_data):
    actions = training_actions(counting_data, np.array([1, 3]))
    assert actions[:, 1].tolist() == [*range(100, 103), *range(300, 307)]


def test_a_constant_dimension_is_named_when_statistics_are_made(tmp_path, counting_data):
    lines = []
    fitted = fit_normalizer(counting_data, np.array([1, 3]), lines.append)
    assert fitted == ActionNormalizer.fit(training_actions(counting_data, np.array([1, 3])))
    assert lines == []
    metadata = replace(COUNTING_METADATA, collection={"imported_from": {"action_names": ["turn [rad]", "speed"]}})
    with EpisodeWriter(tmp_path / "data", metadata) as writer:
        for number, turn in enumerate((7, 7, 9)):
            pixels, states, actions = counting_episode(number, 5)
            writer.append(pixels, states, np.stack([np.full(5, turn), actions[:, 0]], 1))
    data = Episodes(tmp_path / "data")
    fit_normalizer(data, np.array([0, 2]), lines.append)
    assert lines == []  # the two episodes differ
    fit_normalizer(data, np.array([0, 1]), lines.append)
    assert [str(data.path) in line and "turn [rad]. " in line and "speed" not in line for line in lines] == [True]
