import pytest
import torch
from timm.layers import PatchEmbed

from lewm.models import ViTEncoder
from lewm.models.patches import LinearPatches, split_patches

SMALL = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 1, "num_heads": 2}
SMALL |= {"pooling": "mean", "normalization": "imagenet", "positions": "sincos", "stem": "linear"}


def encoder(**changes):
    torch.manual_seed(0)
    return ViTEncoder(**SMALL | changes)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sincos_positions_are_not_trained(pooling):
    vit = encoder(pooling=pooling)
    before = vit.vit.pos_embed.clone()
    optimizer = torch.optim.AdamW([p for p in vit.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    vit(torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)).square().sum().backward()
    optimizer.step()
    assert not vit.vit.pos_embed.requires_grad
    assert torch.equal(vit.vit.pos_embed, before)


def test_learned_positions_are_trained():
    assert encoder(positions="learned").vit.pos_embed.requires_grad


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sincos_positions_tell_every_patch_from_every_other(pooling):
    table = encoder(pooling=pooling).vit.pos_embed[0, -16:]
    distances = torch.cdist(table, table) + 10 * torch.eye(16)
    assert distances.min() > 0.1


def test_sincos_positions_are_near_where_patches_are_near():
    table = encoder().vit.pos_embed[0, -16:].reshape(4, 4, -1)
    for axis in (0, 1):
        row = table.movedim(axis, 0)
        one, three = (row[1] - row[0]).norm(dim=-1), (row[3] - row[0]).norm(dim=-1)
        assert (one < three).all()


@pytest.mark.parametrize("patch_size", [2, 8, 16, 32])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_stem_of_convolutions_gives_one_token_for_each_patch(patch_size, pooling):
    stem = encoder(stem="conv", patch_size=patch_size, pooling=pooling).vit.patch_embed
    tokens = stem(torch.rand(2, 3, 32, 32))
    assert tokens.shape == (2, (32 // patch_size) ** 2, 24)
    assert encoder(stem="conv", patch_size=patch_size, pooling=pooling)(frames(2)).shape == (2, 24)


@pytest.mark.parametrize(("size", "patch_size"), [(32, 8), (28, 14)])
def test_linear_patches_are_those_of_timm_with_their_gradients(size, patch_size):
    torch.manual_seed(0)
    ours, theirs = LinearPatches(size, patch_size, 3, 24), PatchEmbed(size, patch_size, 3, 24)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, size, size)
    tokens = [ours(split_patches(x, patch_size)), theirs(x)]
    torch.testing.assert_close(*tokens)
    upstream = torch.randn_like(tokens[0])
    for found in tokens:
        found.backward(upstream)
    for (name, ours_), (_, theirs_) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(ours_.grad, theirs_.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_frames_stay_as_they_are():
    pixels = frames(2)
    before = pixels.clone()
    encoder()(pixels)
    assert torch.equal(pixels, before)


def test_the_tokens_of_a_stem_of_convolutions_lie_where_their_patches_do():
    stem = encoder(stem="conv").vit.patch_embed.eval()
    picture = torch.zeros(1, 3, 32, 32)
    touched = picture.clone()
    touched[:, :, 10:14, 18:22] = 1  # in patch (1, 2) of 4 x 4, where receptive fields of 15 pixels end
    moved = (stem.layers[0](touched) - stem.layers[0](picture)).abs().sum(1)[0]
    assert moved[5:7, 9:11].min() > 0
    assert moved[:4].max() == moved[:, :8].max() == 0


def test_the_class_token_has_no_sincos_position():
    assert encoder(pooling="cls").vit.pos_embed[0, 0].abs().max() == 0


def frames(num, seed=0):
    return torch.randint(256, (num, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def features(encoder, normalized):
    """The features of normalized frames by timm's own forward pass."""
    return encoder.vit(split_patches(normalized, encoder.vit.patch_embed.patch_size[0]))


def test_pixels_are_normalized_with_the_statistics_of_imagenet():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    vit = encoder()
    normalized = (frames(2) / 255 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(vit(frames(2)), features(vit, normalized), rtol=1e-4, atol=1e-5)


def test_the_statistics_of_imagenet_are_not_fitted():
    vit = encoder()
    before = vit(frames(2))
    vit.fit_normalization(frames(50, seed=1) // 2)
    assert torch.equal(vit(frames(2)), before)


def test_the_mean_frame_of_the_data_is_subtracted_and_each_channel_has_spread_1():
    vit = encoder(normalization="dataset")
    scale, still = torch.tensor([1.0, 0.5, 0.1])[:, None, None], frames(1, seed=1) // 2
    data = (still + scale * (frames(200) // 2)).to(torch.uint8)
    vit.fit_normalization(data)
    normalized = (data - vit.mean) / vit.std
    torch.testing.assert_close(normalized.mean(0), torch.zeros(3, 32, 32), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalized.square().mean((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(vit(data[:2]), features(vit, normalized[:2]))


def test_data_in_which_nothing_moves_are_not_blown_up():
    vit = encoder(normalization="dataset")
    vit.fit_normalization(frames(1).expand(10, -1, -1, -1))
    assert (vit(frames(2)) - vit(frames(2).roll(1, -1))).isfinite().all()
    assert ((frames(1) - vit.mean) / vit.std).abs().max() < 1e-3


def test_fitted_statistics_are_part_of_a_checkpoint():
    fitted, restored = encoder(normalization="dataset"), encoder(normalization="dataset")
    fitted.fit_normalization(frames(50, seed=1) // 3)
    restored.load_state_dict(fitted.state_dict())
    assert torch.equal(restored(frames(2)), fitted(frames(2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_size": 7},
        {"pooling": "max"},
        {"positions": "rotary"},
        {"stem": "deep"},
        {"stem": "conv", "patch_size": 7, "image_size": 28},
        {"normalization": "none"},
    ],
)
def test_what_it_cannot_do_is_refused_with_the_value(changes):
    with pytest.raises(ValueError, match=str(next(iter(changes.values())))):
        encoder(**changes)


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_bfloat16_gives_nearly_the_same_features_and_gradients(stem):
    vit, found = encoder(stem=stem), []
    for enabled in (False, True):
        vit.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            features = vit(frames(4))
        features.float().square().sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in vit.parameters() if p.grad is not None])
        found.append((features.detach().float(), gradient))
    for exact, rounded in zip(*found, strict=True):
        assert not torch.equal(exact, rounded)
        assert (exact - rounded).norm() < 0.02 * exact.norm()


def test_the_row_of_the_class_token_is_that_of_the_whole_last_block_with_its_gradients():
    model = encoder(pooling="cls").eval()
    whole = features(model, (frames(3) - model.mean) / model.std)
    short = model(frames(3))
    torch.testing.assert_close(short, whole)
    upstream = torch.randn_like(whole)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [torch.autograd.grad(found, parameters, upstream, allow_unused=True) for found in (whole, short)]
    for of_whole, of_short in zip(*gradients, strict=True):
        torch.testing.assert_close(of_short, of_whole, atol=1e-5, rtol=1e-4)
