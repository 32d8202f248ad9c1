import numpy as np
import pytest

from lewm.data.sampler import StepSampler
from lewm.errors import InputError


def batches(num_clips=23, batch_size=4, num_steps=17, seed=0, **others):
    return list(StepSampler(np.zeros(num_clips, int), batch_size, num_steps=num_steps, seed=seed, **others))


def test_batches_are_a_function_of_the_seed():
    assert batches(seed=3) == batches(seed=3)
    assert batches(seed=3) != batches(seed=4)


def test_a_sampler_can_be_iterated_again():
    sampler = StepSampler(np.zeros(23, int), 4, num_steps=9, seed=0)
    assert list(sampler) == list(sampler)


@pytest.mark.parametrize("start", [0, 1, 4, 5, 6, 16, 17])
def test_starting_later_gives_the_same_batches(start):
    assert batches(start=start) == batches()[start:]


def test_training_longer_begins_with_the_same_batches():
    assert batches(num_steps=40)[:17] == batches(num_steps=17)


def test_an_epoch_is_a_permutation_without_its_incomplete_rest():
    steps = batches(num_clips=23, batch_size=4, num_steps=10)
    for epoch in (steps[:5], steps[5:]):
        drawn = [index for batch in epoch for index in batch]
        assert len(drawn) == len(set(drawn)) == 20
        assert set(drawn) <= set(range(23))


def test_epochs_differ():
    steps = batches(num_clips=20, batch_size=4, num_steps=10)
    assert steps[:5] != steps[5:]


def test_every_clip_is_drawn_in_time():
    assert {index for batch in batches(num_steps=100) for index in batch} == set(range(23))


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_ranks_share_each_batch(num_ranks):
    shares = [batches(rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    joined = [[index for part in parts for index in part] for parts in zip(*shares, strict=True)]
    assert joined == batches()
    assert {len(part) for share in shares for part in share} == {4 // num_ranks}


def test_its_length_is_the_number_of_steps_left():
    assert len(StepSampler(np.zeros(23, int), 4, start=5, num_steps=17, seed=0)) == 12


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="batch_size=24"):
        StepSampler(np.zeros(23, int), 24, num_steps=1, seed=0)


def test_a_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(InputError, match="3 processes"):
        StepSampler(np.zeros(23, int), 4, num_steps=1, seed=0, num_ranks=3)


OWNERS = np.repeat([2, 3, 7, 8], [9, 1, 6, 30])


def grouped(clips_per_episode, batch_size=8, num_steps=40, **others):
    sampler = StepSampler(
        OWNERS, batch_size, clips_per_episode=clips_per_episode, num_steps=num_steps, seed=0, **others
    )
    return [np.reshape(batch, (-1, clips_per_episode)) for batch in sampler]


@pytest.mark.parametrize("clips_per_episode", [2, 4, 8])
def test_the_clips_of_a_group_are_of_one_episode(clips_per_episode):
    for batch in grouped(clips_per_episode):
        assert (OWNERS[batch] == OWNERS[batch[:, :1]]).all()


def test_the_clips_of_a_group_differ_where_the_episode_has_enough():
    for group in np.concatenate(grouped(4)):
        assert len(set(group)) == min(4, (OWNERS[group[0]] == OWNERS).sum())


def test_each_clip_has_company_once_in_an_epoch():
    anchors = [group[0] for batch in grouped(4, num_steps=len(OWNERS) // 2) for group in batch]
    assert sorted(anchors) == list(range(len(OWNERS)))


def test_groups_are_a_function_of_the_step():
    resumed = grouped(4, start=17)
    assert all((late == early).all() for late, early in zip(resumed, grouped(4)[17:], strict=True))


def test_groups_that_do_not_fill_a_batch_are_refused():
    with pytest.raises(InputError, match=r"clips_per_episode=3 does not divide training\.batch_size=8"):
        grouped(3)
