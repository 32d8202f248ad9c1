import numpy as np
import pytest
import torch

from lewm.data.normalize import ActionNormalizer, constant_dims, pack_actions, unpack_actions
from lewm.errors import InputError


@pytest.mark.parametrize("frameskip", [1, 2, 5])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_unpacking_inverts_packing(frameskip, batch):
    actions = torch.randn(*batch, 10, 3, generator=torch.Generator().manual_seed(0))
    blocks = pack_actions(actions, frameskip)
    assert blocks.shape == (*batch, 10 // frameskip, 3 * frameskip)
    assert torch.equal(unpack_actions(blocks, frameskip), actions)


def test_a_block_holds_whole_actions_in_time_order():
    actions = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])
    assert pack_actions(actions, 2).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_actions_that_are_no_whole_blocks_are_not_packed():
    with pytest.raises(AssertionError, match="7"):
        pack_actions(torch.zeros(7, 2), 2)


@pytest.fixture
def normalizer():
    rng = np.random.default_rng(0)
    actions = (np.array([2.0, 0.5, 0.0]) * rng.standard_normal((500, 3)) + [10.0, -3.0, 0.7]).astype(np.float32)
    return ActionNormalizer.fit(actions), actions


def test_normalized_actions_have_mean_0_and_standard_deviation_1(normalizer):
    normalizer, actions = normalizer
    normalized = normalizer.normalize(actions)[:, :2]
    torch.testing.assert_close(normalized.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalized.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_a_constant_dimension_is_centred_and_not_blown_up(normalizer):
    normalizer, actions = normalizer
    assert constant_dims(actions).tolist() == [2]
    assert normalizer.normalize(actions)[:, 2].abs().max() < 1e-3
    moved = normalizer.normalize([10.0, -3.0, 0.701])[2]
    assert 0.5 < moved < 2


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e-6, 1e6])
def test_normalized_actions_and_bounds_do_not_depend_on_the_unit(normalizer, unit):
    in_ones, actions = normalizer
    scaled = (actions.astype(np.float64) * unit).astype(np.float32)
    in_units = ActionNormalizer.fit(scaled)
    assert constant_dims(scaled).tolist() == [2]
    torch.testing.assert_close(in_units.normalize(scaled).std(0, correction=0)[:2], torch.ones(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(in_units.normalize(scaled), in_ones.normalize(actions), atol=1e-3, rtol=1e-5)
    low, high = np.array([-20.0, -20.0, -20.0]), np.array([20.0, 20.0, 20.0])
    for bound, expected in zip(
        in_units.block_bounds(unit * low, unit * high, 2), in_ones.block_bounds(low, high, 2), strict=True
    ):
        torch.testing.assert_close(bound, expected, atol=1e-3, rtol=1e-5)


def test_a_dimension_that_moves_by_rounding_is_constant_and_one_that_moves_little_is_not():
    steps = np.arange(1000)
    rounded = np.where(steps % 2, np.float32(0.7), np.nextafter(np.float32(0.7), np.float32(1)))
    little = 1000 + 1e-3 * (steps % 2)
    actions = np.stack([rounded, little], 1).astype(np.float32)
    assert constant_dims(actions).tolist() == [0]
    assert ActionNormalizer.fit(actions).std[1] == pytest.approx(5e-4, rel=0.1)


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_a_dimension_that_is_always_0_has_a_unit_like_the_others(unit):
    actions = np.zeros((100, 2), np.float32)
    actions[::2, 0] = unit
    assert ActionNormalizer.fit(actions).std == pytest.approx((unit / 2, 1e-3 * unit))
    assert ActionNormalizer.fit(np.zeros((100, 2), np.float32)).std == (1e-3, 1e-3)


def test_the_normalizer_of_a_moving_dimension_is_its_plain_mean_and_deviation(normalizer):
    normalizer, actions = normalizer
    assert normalizer.mean[:2] == tuple(actions[:, :2].mean(0, dtype=np.float64))
    assert normalizer.std[:2] == tuple(actions[:, :2].std(0, dtype=np.float64))


def test_denormalizing_inverts_normalizing(normalizer):
    normalizer, actions = normalizer
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(actions)), torch.from_numpy(actions))


def test_statistics_do_not_depend_on_the_order_of_many_float32_actions():
    actions = np.full((2_000_000, 1), 0.1, np.float32)
    actions[::2] += 1000
    assert ActionNormalizer.fit(actions).mean[0] == pytest.approx(500.1, rel=1e-6)


def test_bounds_of_a_block_are_the_bounds_of_each_of_its_actions(normalizer):
    normalizer, _ = normalizer
    low, high = np.array([-1.0, -2.0, -3.0]), np.array([1.0, 4.0, 9.0])
    block_low, block_high = normalizer.block_bounds(low, high, frameskip=5)
    for bound, block_bound in ((low, block_low), (high, block_high)):
        raw = normalizer.denormalize(unpack_actions(block_bound[None], 5))
        torch.testing.assert_close(raw, torch.as_tensor(bound, dtype=torch.float32).expand(5, 3), atol=1e-5, rtol=1e-5)


def test_clipping_a_block_clips_each_raw_action(normalizer):
    normalizer, _ = normalizer
    low, high = np.array([5.0, -3.5, 0.6995]), np.array([11.0, -3.0, 0.7005])
    raw = normalizer.denormalize(torch.randn(8, 6, 3, generator=torch.Generator().manual_seed(0)))
    blocks = pack_actions(normalizer.normalize(raw), 3).clamp(*normalizer.block_bounds(low, high, 3))
    expected = raw.clamp(torch.as_tensor(low).float(), torch.as_tensor(high).float())
    torch.testing.assert_close(normalizer.denormalize(unpack_actions(blocks, 3)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.0, 0.0), (1.0,)),
        ((0.0, 0.0), (1.0, 0.0)),
        ((0.0, 0.0), (1.0, -1.0)),
        ((0.0, float("nan")), (1.0, 1.0)),
        ((0.0, 0.0), (1.0, float("inf"))),
    ],
)
def test_statistics_that_cannot_normalize_are_refused(mean, std):
    with pytest.raises(InputError, match="action statistics"):
        ActionNormalizer(mean, std)
