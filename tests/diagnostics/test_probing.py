import numpy as np
import pytest
import torch
from torch import nn

from lewm.data.clips import Clips
from lewm.data.normalize import ActionNormalizer
from lewm.diagnostics.gaussianity import report
from lewm.diagnostics.probing import Validation, embed, linear_probe_r2

FRAMESKIP = 2


def randn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_linear_probe_reads_exact_linear_data_perfectly():
    z, weights = randn(300, 6, seed=0), randn(6, 3, seed=1)
    states = z @ weights + torch.tensor([100.0, -3.0, 0.0])
    r2 = linear_probe_r2(z[:200], states[:200], z[200:], states[200:])
    torch.testing.assert_close(r2, torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_a_linear_probe_reads_nothing_from_noise():
    z, states = randn(4000, 6, seed=0), randn(4000, 2, seed=1)
    r2 = linear_probe_r2(z[:3000], states[:3000], z[3000:], states[3000:])
    assert r2.abs().max() < 0.03  # of 6 weights fitted to 3000 samples, about -0.002


def test_a_linear_probe_tells_each_state_apart():
    z = randn(2000, 4, seed=0)
    states = torch.stack([z[:, 0], z[:, 1] + randn(2000, seed=1), randn(2000, seed=2)], dim=1)
    r2 = linear_probe_r2(z[:1500], states[:1500], z[1500:], states[1500:])
    assert r2.tolist() == pytest.approx([1.0, 0.5, 0.0], abs=0.08)


@pytest.mark.parametrize("z", [torch.zeros(100, 4), torch.full((100, 4), 7.0)])
def test_collapsed_embeddings_tell_nothing_and_do_no_harm(z):
    states = randn(100, 2, seed=0)
    r2 = linear_probe_r2(z, states, z, states)
    torch.testing.assert_close(r2, torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_fewer_samples_than_dimensions_still_give_numbers():
    z, states = randn(20, 50, seed=0), randn(20, 2, seed=1)
    assert linear_probe_r2(z[:10], states[:10], z[10:], states[10:]).isfinite().all()


class CountingModel(nn.Module):
    """Reads (step, episode) from counting frames, and predicts the frame `speed` steps later."""

    def __init__(self, speed):
        super().__init__()
        self.speed = nn.Parameter(torch.tensor([speed, 0.0]))
        self.most_frames = 0

    def encode(self, pixels):
        self.most_frames = max(self.most_frames, pixels.shape[0] * pixels.shape[1])
        return pixels[:, :, :2, 0, 0].float()

    def predict(self, z, actions):
        return z + self.speed


@pytest.fixture
def validation(counting_data):
    normalizer = ActionNormalizer((0.0, 0.0), (1.0, 1.0))
    fit, held_out = (Clips(counting_data, np.array(ids), 3, FRAMESKIP, normalizer) for ids in ([0, 2], [3, 4]))
    return Validation.draw(fit, held_out, ["episode", "step"], num_clips=12, seed=0)


def test_validation_draws_clips_of_each_split_or_all_there_are(validation):
    assert len(validation.fit.pixels) == 12
    assert len(validation.held_out.pixels) == 12
    assert set(validation.fit.states[..., 0].flatten().tolist()) == {0.0, 2.0}
    assert set(validation.held_out.states[..., 0].flatten().tolist()) == {3.0, 4.0}


def test_validation_of_a_perfect_model(validation):
    numbers = validation(CountingModel(float(FRAMESKIP)))
    assert numbers["probe/r2_step"] == pytest.approx(1, abs=1e-6)
    assert numbers["val/prediction"] == 0
    assert numbers["val/prediction_over_copy_last"] == 0
    assert numbers["val/effective_rank"] > 1


def test_a_model_that_copies_the_last_frame_has_the_ratio_1(validation):
    assert validation(CountingModel(0.0))["val/prediction_over_copy_last"] == pytest.approx(1)


def gaussianity_of(validation, model):
    numbers = validation(model)
    return {tag.removeprefix("gaussianity/"): value for tag, value in numbers.items() if tag.startswith("gaussianity/")}


def test_validation_reports_the_gaussianity_of_one_frame_of_each_held_out_clip(validation):
    first_frames = CountingModel(0.0).encode(validation.held_out.pixels)[:, 0]
    assert gaussianity_of(validation, CountingModel(0.0)) == report(first_frames)


def test_validation_of_fewer_clips_than_a_test_needs_leaves_the_report_out(counting_data):
    clips = Clips(counting_data, np.array([0, 2]), 3, FRAMESKIP, ActionNormalizer((0.0, 0.0), (1.0, 1.0)))
    few = Validation.draw(clips, clips, ["episode", "step"], num_clips=7, seed=0)
    assert gaussianity_of(few, CountingModel(0.0)) == {}
    assert "val/prediction" in few(CountingModel(0.0))


def test_embeddings_are_made_in_pieces_and_come_back_whole(validation):
    model, pixels = CountingModel(0.0), validation.fit.pixels
    z = embed(model, pixels, batch_size=7)
    assert model.most_frames == 6  # two clips of three frames
    torch.testing.assert_close(z, CountingModel(0.0).encode(pixels))
