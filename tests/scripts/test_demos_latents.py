"""The two demos of Gaussian latents, with budgets of a second or two: their figures, closing numbers and promises."""

import math
import re

import pytest
import torch

from scripts.demos import composable_latents, deterministic_gae, latent_interfaces, sigreg_demo
from tests.programs import assert_one_line_error


def run(main, *arguments):
    """The status that a demo ends with, None for success."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return None


def numbers_after(label, text):
    """The numbers of the line that begins with a label, in the order of the line."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return [float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line[len(label) :])]


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """What deterministic_gae prints, and its folder."""
    folder = tmp_path_factory.mktemp("gae")
    with pytest.MonkeyPatch.context() as patch, open(folder / "printed", "w") as printed:
        patch.setattr("sys.stdout", printed)
        patch.setattr(deterministic_gae, "NUM_HELD_OUT", 256)
        assert run(deterministic_gae.main, "--num-steps", 25, "--seed", 1, "--out", folder / "new") is None
    return (folder / "printed").read_text(), folder / "new"


def test_the_autoencoder_leaves_a_figure(autoencoder):
    printed, folder = autoencoder
    assert (folder / "deterministic_gae.png").stat().st_size > 20_000
    assert f"figure: {folder / 'deterministic_gae.png'}" in printed


def test_training_the_autoencoder_improves_the_reconstruction_and_the_gaussianity(autoencoder):
    before, after = numbers_after("reconstruction: misses", autoencoder[0])
    assert after < before / 2
    z_before, z_after = numbers_after("latent:", autoencoder[0])[:2]
    assert 0 < z_after < z_before / 2


def test_the_flow_of_the_autoencoder_can_be_undone(autoencoder):
    errors = numbers_after("inverse of the flow: off by at most", autoencoder[0])
    assert all(error < 1e-4 for error in errors)


def test_the_data_of_the_autoencoder_have_unit_variance_and_heavy_tails():
    x = deterministic_gae.draw_data(20_000, seed=3)
    assert x.square().mean().item() == pytest.approx(1)
    kurtosis = ((x - x.mean(0)) / x.std(0)).pow(4).mean(0)
    assert kurtosis.max() > 10


def test_the_data_of_the_autoencoder_are_a_function_of_the_seed():
    x = deterministic_gae.draw_data(50, seed=3)
    assert torch.equal(deterministic_gae.draw_data(50, seed=3), x)
    assert not torch.equal(deterministic_gae.draw_data(50, seed=4), x)


@pytest.fixture(scope="module")
def world():
    return composable_latents.draw_world(20_000, seed=0)


def test_the_likes_of_a_post_have_the_quantiles_of_the_closed_form(world):
    posts = world[:3]
    likes = posts.appeal[:, None] + posts.reach[:, None] * world.mood
    errors = composable_latents.errors(posts, likes)
    assert max(errors.values()) < 0.05
    assert composable_latents.errors(posts, likes + 1)["mean"] == pytest.approx(1, abs=0.05)
    assert composable_latents.errors(posts, 2 * likes)["spread"] > 0.4


def test_post_and_weather_are_independent(world):
    together = torch.cat([world.post, world.weather], 1)
    correlations = torch.corrcoef(torch.cat([together, together.square()], 1).T)
    size = world.post.shape[1]
    post, weather = ([*range(start, start + size), *range(start + 2 * size, start + 3 * size)] for start in (0, size))
    assert correlations[post][:, weather].abs().max() < 0.04


@pytest.mark.parametrize("name", latent_interfaces.INTERFACES)
def test_drawn_blocks_keep_the_other_block_and_the_norms_of_the_interface(name):
    interface, generator = latent_interfaces.INTERFACES[name](), torch.Generator().manual_seed(0)
    z = interface.join(torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator))
    drawn = interface.replace(z, torch.randn(7, 3, generator=generator))
    assert drawn.shape == (5, 7, 6)
    assert torch.equal(drawn[..., :3], z[:, None, :3].expand(5, 7, 3))
    if name != "N(0, I)":
        torch.testing.assert_close(drawn.norm(dim=-1), z.norm(dim=1)[:, None].expand(5, 7))


def test_uniform_points_have_a_lower_uniformity_loss_than_a_cap():
    u = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    cap = torch.nn.functional.normalize(u + torch.tensor([1.0, 0, 0]), dim=1)
    assert latent_interfaces.uniformity(u) < latent_interfaces.uniformity(cap) - 0.2
    # Uniform on S^2: |u - v|^2 is uniform on [0, 4], and the mean of exp(-2 s) over it (1 - exp(-8)) / 8.
    assert latent_interfaces.uniformity(u).item() == pytest.approx(math.log((1 - math.exp(-8)) / 8), abs=0.02)


def test_drawn_gaussian_blocks_come_closer_to_the_truth_with_training(world, monkeypatch):
    monkeypatch.setattr(composable_latents, "NUM_DRAWS", 512)
    posts, errors = world[-composable_latents.NUM_DRAWS :], []
    for num_steps in (1, 60):
        torch.manual_seed(0)
        model = composable_latents.Model(latent_interfaces.Gaussian())
        with composable_latents.progress_bar(composable_latents.Console(quiet=True)) as progress:
            composable_latents.train(model, world[:10_000], num_steps, 0, progress, "")
        likes = composable_latents.measure(model, posts, seed=0).drawn
        errors.append(composable_latents.errors(posts[: composable_latents.NUM_POSTS], likes)["distance"])
    assert errors[1] < errors[0] / 2


def test_the_comparison_leaves_a_table_and_a_figure(tmp_path, monkeypatch, capsys):
    for name, size in (("NUM_TRAINING", 500), ("BATCH_SIZE", 32), ("NUM_POSTS", 8), ("NUM_DRAWS", 64)):
        monkeypatch.setattr(composable_latents, name, size)
    monkeypatch.setenv("COLUMNS", "160")
    assert run(composable_latents.main, "--num-steps", 2, "--out", tmp_path) is None
    printed = capsys.readouterr().out
    assert (tmp_path / "composable_latents.png").stat().st_size > 20_000
    rows = [line for line in printed.splitlines() if "drawn" in line]
    assert len(rows) == 3
    for row in rows:
        values = [float(value) for value in re.findall(r"\d+\.\d+", row)]
        assert len(values) == 7
        assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("demo", [deterministic_gae, composable_latents, sigreg_demo])
@pytest.mark.parametrize(("option", "value"), [("--num-steps", 0), ("--seed", -1)])
def test_a_number_that_means_nothing_ends_in_one_line(demo, option, value, tmp_path):
    assert_one_line_error(run(demo.main, option, value, "--out", tmp_path), f"{option} {value}")


def test_a_folder_that_cannot_be_made_ends_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert_one_line_error(run(composable_latents.main, "--out", tmp_path / "file"), "file")
