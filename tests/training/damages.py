"""What can befall the folder of a checkpoint."""

import json
import shutil
from math import nan

import torch
from safetensors.torch import load_file, save_file

from lewm.files import sha256_of
from lewm.training.checkpoint import VERSION


def edited_description(change, file="model.json"):
    def damage(path):
        described = json.loads((path / file).read_text())
        change(described)
        (path / file).write_text(json.dumps(described))

    return damage


def replaced(name, content):
    return lambda path: (path / name).write_bytes(content)


def cut_off(name):
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:-20])


def tensors_changed(name, change):
    def damage(path):
        tensors = load_file(path / name)
        change(tensors)
        save_file(tensors, path / name)

    return damage


def flipped_bit(name):
    def damage(path):
        content = bytearray((path / name).read_bytes())
        content[-8] ^= 1
        (path / name).write_bytes(bytes(content))

    return damage


def rewritten(name, change, file="model.json"):
    """Other tensors, with the hash that belongs to them."""

    def damage(path):
        tensors_changed(name, change)(path)
        edited_description(lambda described: described["files"].update({name: sha256_of(path / name)}), file)(path)

    return damage


DAMAGES = {
    "no folder": shutil.rmtree,
    "a folder of something else": lambda path: [file.unlink() for file in path.iterdir()],
    "no description": lambda path: (path / "model.json").unlink(),
    "a description cut off": cut_off("model.json"),
    "an empty description": replaced("model.json", b""),
    "a description that is no text": replaced("model.json", b"\x80\x04\xff\xfe"),
    "a description that is a list": replaced("model.json", b"[]"),
    "another format": edited_description(lambda described: described.update(format="other")),
    "a later version": edited_description(lambda described: described.update(version=VERSION + 1)),
    "no step": edited_description(lambda described: described.pop("step")),
    "no normalizer": edited_description(lambda described: described.pop("normalizer")),
    "no architecture": edited_description(lambda described: described.pop("model")),
    "an architecture without a key": edited_description(lambda described: described["model"].pop("context")),
    "an encoder with a class": edited_description(
        lambda described: described["model"]["encoder"].update(_target_="os.system")
    ),
    "a step that is text": edited_description(lambda described: described.update(step="7")),
    "a step that is a truth value": edited_description(lambda described: described.update(step=True)),
    "a negative step": edited_description(lambda described: described.update(step=-1)),
    "no hashes": edited_description(lambda described: described.pop("files")),
    "a frameskip that is text": edited_description(lambda described: described.update(frameskip="5")),
    "a standard deviation of 0": edited_description(lambda described: described["normalizer"].update(std=[0.0, 1.0])),
    "action statistics that are not numbers": edited_description(
        lambda described: described["normalizer"].update(mean=["a", "b"])
    ),
    "too few action statistics": edited_description(
        lambda described: described.update(normalizer={"mean": [0.1], "std": [0.5]})
    ),
    "a lower bound above the upper one": edited_description(lambda described: described.update(action_low=[2.0, -1.0])),
    "a flipped bit in the weights": flipped_bit("model.safetensors"),
    "a flipped bit in the optimizer": flipped_bit("optimizer.safetensors"),
    "weights that are nan": rewritten("model.safetensors", lambda tensors: tensors["predictor.norm.weight"].fill_(nan)),
    "an optimizer that lacks a tensor": rewritten("optimizer.safetensors", lambda tensors: tensors.pop("0.exp_avg")),
    "an optimizer that lacks a parameter": rewritten(
        "optimizer.safetensors", lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("0.")]
    ),
    "a part of an unknown name": edited_description(
        lambda described: described["model"]["encoder"].update(name="os.system")
    ),
    "no weights": lambda path: (path / "model.safetensors").unlink(),
    "weights cut off": cut_off("model.safetensors"),
    "empty weights": replaced("model.safetensors", b""),
    "pickled weights": lambda path: torch.save({}, path / "model.safetensors"),
    "a weight too few": tensors_changed("model.safetensors", lambda tensors: tensors.popitem()),
    "a weight too many": tensors_changed("model.safetensors", lambda tensors: tensors.update(other=torch.ones(1))),
    "a weight of another shape": tensors_changed(
        "model.safetensors", lambda tensors: tensors.update({"predictor.norm.weight": torch.ones(3)})
    ),
    "another architecture": edited_description(lambda described: described["model"]["encoder"].update(depth=2)),
    "no optimizer": lambda path: (path / "optimizer.safetensors").unlink(),
    "an optimizer cut off": cut_off("optimizer.safetensors"),
    "an optimizer of something else": tensors_changed(
        "optimizer.safetensors", lambda tensors: tensors.update(other=torch.ones(1))
    ),
    "an optimizer of another shape": tensors_changed(
        "optimizer.safetensors", lambda tensors: tensors.update({"0.exp_avg": torch.ones(3)})
    ),
}
"""By name: functions of the folder."""
