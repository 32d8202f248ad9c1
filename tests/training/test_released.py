"""Released LeWorldModel checkpoints in both namings become models that calculate the same, and are written again."""

import copy
import importlib.util
import json
import os

import pytest
import torch

from lewm.training.model_spec import build_model
from lewm.training.released import ReleasedCheckpoint, their_names, write_released
from tests import released
from tests.programs import compose, refusal
from tests.released import BLOCK, CONFIG, DIM, FRAME, Reference, make_tensors, older_names, write
from tests.runs import spec_of

HAS_PEER = all(importlib.util.find_spec(name) for name in ("stable_worldmodel", "stable_pretraining"))


def build(checkpoint):
    model = build_model(checkpoint.model, checkpoint.frame_size, checkpoint.action_dim)
    checkpoint.load_into(model)
    return model.eval().requires_grad_(False)


def inputs(generator=0):
    """Pixels, and the actions of rollouts of four steps."""
    random = torch.Generator().manual_seed(generator)
    pixels = torch.randint(0, 256, (2, 3, 3, FRAME, FRAME), dtype=torch.uint8, generator=random)
    return pixels, torch.randn(2, 6, BLOCK, generator=random)


@pytest.mark.parametrize("rename", [dict, older_names], ids=["newer", "older"])
@pytest.mark.parametrize("mlp_dim", [4 * DIM, 3 * DIM])
def test_embeddings_predictions_and_rollouts_are_those_of_the_layout(tmp_path, rename, mlp_dim):
    tensors = make_tensors(mlp_dim)
    model, (pixels, actions) = build(ReleasedCheckpoint.open(write(tmp_path, rename(tensors)))), inputs()
    reference, z = Reference(tensors), model.encode(pixels)
    expected = reference.encode(pixels.flatten(0, 1)).unflatten(0, (2, 3))
    assert expected.std() > 0.1
    torch.testing.assert_close(z, expected, atol=1e-5, rtol=0)
    past = actions[:, :3]
    torch.testing.assert_close(model.predict(z, past), reference.predict(expected, past), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.rollout(z, actions), reference.rollout(expected, actions), atol=1e-5, rtol=0)


def test_tensors_that_no_embedding_depends_on_are_left_out(tmp_path):
    tensors, pixels = make_tensors(), inputs()[0]
    plain = build(ReleasedCheckpoint.open(write(tmp_path / "plain", tensors)))
    others = {"encoder.embeddings.mask_token": torch.ones(1, 1, DIM), "encoder.pooler.dense.bias": torch.ones(DIM)}
    model = build(ReleasedCheckpoint.open(write(tmp_path / "others", {**tensors, **others})))
    assert torch.equal(model.encode(pixels), plain.encode(pixels))


def test_a_file_of_weights_can_be_named(tmp_path):
    folder = write(tmp_path, make_tensors())
    (folder / "weights.pt").rename(folder / "weights_epoch_9.pt")
    assert ReleasedCheckpoint.open(folder / "weights_epoch_9.pt").action_dim == BLOCK


def test_what_is_written_is_what_was_read(tmp_path):
    tensors = make_tensors()
    checkpoint = ReleasedCheckpoint.open(write(tmp_path / "theirs", tensors))
    (tmp_path / "ours").mkdir()
    write_released(tmp_path / "ours", spec_of_checkpoint(checkpoint), build(checkpoint))
    written = torch.load(tmp_path / "ours" / "weights.pt", weights_only=True)
    assert written.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(written[name], value), name
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    for part, values in CONFIG.items():
        assert values.items() <= config[part].items()


def spec_of_checkpoint(checkpoint):
    """A specification with the architecture, frames and actions of a released checkpoint."""
    from dataclasses import replace

    spec = spec_of(compose())
    return replace(spec, model=checkpoint.model, frame_size=checkpoint.frame_size, frameskip=checkpoint.action_dim // 2)


def test_no_name_is_used_twice():
    checkpoint_names = [
        theirs
        for name in build_model(compose("model=paper").model, 224, 10).state_dict()
        if name not in ("encoder.mean", "encoder.std")
        for theirs in their_names(name)
    ]
    assert len(set(checkpoint_names)) == len(checkpoint_names) == 303


def damaged(**changes):
    """The configuration with values of dotted keys changed; None removes one."""
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *parts, last = key.split("__")
        place = config
        for part in parts:
            place = place[part]
        place.pop(last) if value is None else place.update({last: value})
    return config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (damaged(encoder=None), "encoder.size=None is none of tiny"),
        (damaged(encoder__size="giant"), "encoder.size='giant' is none of tiny"),
        (damaged(encoder__image_size=None), "encoder.image_size=None must be a whole number"),
        (damaged(predictor__depth="two"), "predictor.depth='two' must be a whole number"),
        (damaged(predictor__depth=3), "lacks predictor.transformer.layers.2.attn.norm.weight"),
        (damaged(predictor__depth=1), "has predictor.transformer.layers.1.adaLN_modulation.1.bias"),
        (damaged(predictor__hidden_dim=24), "predictor.hidden_dim=24, where models of this package have 16"),
        (damaged(pred_proj__hidden_dim=64), "pred_proj.hidden_dim=64, where models of this package have 32"),
        (damaged(predictor__mlp_dim=25), "mlp.net.1.weight has the shape (24, 16)"),
        (damaged(encoder__patch_size=24), "has the shape"),
        ([], "is no configuration of LeWorldModel"),
    ],
)
def test_a_configuration_that_does_not_fit_gets_one_line(tmp_path, config, words):
    folder = write(tmp_path, make_tensors(), config)

    def load():
        build(ReleasedCheckpoint.open(folder))

    assert words in refusal(load)


def test_files_that_are_missing_or_damaged_get_one_line(tmp_path):
    assert "config.json is missing" in refusal(ReleasedCheckpoint.open, tmp_path)
    folder = write(tmp_path, make_tensors())
    (folder / "config.json").write_text("{")
    assert "config.json is missing or damaged" in refusal(ReleasedCheckpoint.open, folder)
    write(tmp_path, make_tensors())
    (folder / "weights.pt").write_bytes(b"nothing")
    assert "cannot be read as weights" in refusal(ReleasedCheckpoint.open, folder)
    (folder / "weights.pt").unlink()
    assert "give the folder with weights.pt" in refusal(ReleasedCheckpoint.open, folder)
    write(tmp_path, [make_tensors()])
    assert "is no state dict" in refusal(ReleasedCheckpoint.open, folder)
    write(tmp_path, {"layer.weight": torch.ones(2)})
    assert "is no checkpoint of LeWorldModel" in refusal(ReleasedCheckpoint.open, folder)
    tensors = make_tensors()
    tensors["projector.net.3.bias"][0] = float("nan")
    assert "projector.net.3.bias is not finite" in refusal(ReleasedCheckpoint.open, write(tmp_path, tensors))


class Attack:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_nothing_in_a_file_is_executed(tmp_path):
    folder = write(tmp_path, {**make_tensors(), "attack": Attack(tmp_path / "made")})
    assert "cannot be read as weights" in refusal(ReleasedCheckpoint.open, folder)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["model.encoder.stem=conv", "model.encoder.pooling=cls"], "model.encoder"),
        (["actor=intent"], "model.actor=intent: the released layout has none alone"),
        (["model.predictor.width=96"], "model.predictor.width=96"),
        (["predictor=affine"], "model.predictor.name=affine: the released layout has adaln alone"),
        (["model.flow=affine_coupling"], "model.flow"),
        (["model.action_encoder.hidden_dim=100"], "model.action_encoder.hidden_dim"),
    ],
)
def test_a_model_that_the_layout_has_no_place_for_is_refused(tmp_path, words, named):
    spec = spec_of(compose("model=paper", *words))
    assert named in refusal(write_released, tmp_path, spec, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")  # of their imports
@pytest.mark.skipif(not HAS_PEER, reason="stable-worldmodel is not installed")
def test_stable_worldmodel_agrees_in_both_directions(tmp_path):
    from hydra.utils import instantiate

    # Matrices of a usual size: with larger ones rounding grows over a rollout.
    tensors = {name: value / 2 if value.dim() == 2 else value for name, value in make_tensors().items()}
    checkpoint = ReleasedCheckpoint.open(write(tmp_path / "first", tensors))
    ours, (pixels, actions) = build(checkpoint), inputs()
    (tmp_path / "ours").mkdir()
    write_released(tmp_path / "ours", spec_of_checkpoint(checkpoint), ours)
    theirs = instantiate(json.loads((tmp_path / "ours" / "config.json").read_text())).eval()
    theirs.load_state_dict(torch.load(tmp_path / "ours" / "weights.pt", weights_only=True))
    normalized = (pixels / 255 - released.MEAN) / released.STD
    with torch.no_grad():
        z, theirs_z = ours.encode(pixels), theirs.encode({"pixels": normalized})["emb"]
        torch.testing.assert_close(z, theirs_z, atol=1e-5, rtol=0)
        predicted = theirs.predict(theirs_z, theirs.action_encoder(actions[:, :3]))
        torch.testing.assert_close(ours.predict(z, actions[:, :3]), predicted, atol=1e-5, rtol=0)
        imagined = theirs.rollout({"pixels": normalized[:, None]}, actions[:, None], history_size=3)["predicted_emb"]
        torch.testing.assert_close(ours.rollout(z, actions), imagined[:, 0, 3:], atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    again = build(ReleasedCheckpoint.open(write(tmp_path / "again", theirs.state_dict(), config)))
    assert torch.equal(again.encode(pixels), z)
