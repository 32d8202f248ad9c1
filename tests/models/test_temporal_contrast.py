"""Temporal contrast: its loss against a slow loop, and what it makes embeddings show."""

import math

import pytest
import torch

from lewm.config import build, read_yaml
from lewm.config.loading import CONFIGS
from lewm.models import CONTRASTS, TemporalContrast
from tests.programs import refusal

B, D = 4, 3


def draw_clip(num_frames):
    return torch.randn(B, num_frames, D, generator=torch.Generator().manual_seed(1), requires_grad=True)


def slow_loss(contrast, z):
    """Cross-entropies of both directions, frame by frame."""
    x, half = contrast.map(z), z.shape[1] // 2
    values = []
    for b in range(B):
        for t in range(half):
            for here, there in ((t, half), (half + t, 0)):
                others = [x[c, there + s] for c in range(B) for s in range(half) if c != b or s == t]
                scores = [-(x[b, here] - other).square().sum() for other in others]
                own = -(x[b, here] - x[b, there + t]).square().sum()
                values.append(torch.logsumexp(torch.stack(scores), 0) - own)
    return torch.stack(values).mean()


@pytest.mark.parametrize("num_frames", [2, 4, 7])
def test_the_loss_is_that_of_a_loop_over_pairs(num_frames):
    torch.manual_seed(0)
    contrast, z = TemporalContrast(D, output_dim=5, weight=0.3), draw_clip(num_frames)
    torch.testing.assert_close(contrast.loss(z), 0.3 * slow_loss(contrast, z))


@pytest.mark.parametrize("name", CONTRASTS)
def test_each_contrast_has_a_file_that_builds_it(name):
    contrast = build(
        CONTRASTS, read_yaml(CONFIGS / "contrast" / f"{name}.yaml")["model"]["contrast"], "contrast", embedding_dim=D
    )
    z = draw_clip(4)
    contrast.loss(z).backward()
    assert (z.grad.abs().sum(-1) > 0).all()


def test_the_loss_is_float32_under_autocast_and_the_same():
    contrast, z = TemporalContrast(D, output_dim=5, weight=1.0), draw_clip(4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = contrast.loss(z)
    assert loss.dtype == torch.float32 and torch.equal(loss, contrast.loss(z))


def test_what_stays_in_a_clip_is_shown_and_what_does_not_is_left_out():
    generator, contrast = torch.Generator().manual_seed(0), TemporalContrast(2, output_dim=2, weight=1.0)
    optimizer = torch.optim.Adam(contrast.parameters(), lr=0.05)
    for _ in range(200):
        stays = torch.randn(32, 1, 1, generator=generator).expand(-1, 4, -1)
        z = torch.cat([stays, torch.randn(32, 4, 1, generator=generator)], dim=-1)
        loss = contrast.loss(z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shown, left_out = contrast.map.weight.detach().norm(dim=0).tolist()
    assert shown > 2 and left_out < 0.5
    assert loss.item() < 0.7 * math.log(32 * 2 - 1)


def test_one_clip_alone_has_nothing_to_be_told_from():
    assert TemporalContrast(D, output_dim=5, weight=1.0).loss(draw_clip(4)[:1]) == 0


@pytest.mark.parametrize(("changes", "words"), [({"output_dim": 0}, "output_dim=0"), ({"weight": -1.0}, "weight=-1.0")])
def test_a_contrast_that_cannot_be_is_refused_by_name_and_value(changes, words):
    component = {"name": "temporal", "output_dim": 4, "weight": 1.0} | changes
    assert words in refusal(build, CONTRASTS, component, "contrast", embedding_dim=D)
