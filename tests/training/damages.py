"""What can befall the folder of a checkpoint."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from lewm.training.checkpoint import VERSION


def edited_description(change):
    def damage(path):
        described = json.loads((path / "checkpoint.json").read_text())
        change(described)
        (path / "checkpoint.json").write_text(json.dumps(described))

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


DAMAGES = {
    "no folder": shutil.rmtree,
    "a folder of something else": lambda path: [file.unlink() for file in path.iterdir()],
    "no description": lambda path: (path / "checkpoint.json").unlink(),
    "a description cut off": cut_off("checkpoint.json"),
    "an empty description": replaced("checkpoint.json", b""),
    "a description that is no text": replaced("checkpoint.json", b"\x80\x04\xff\xfe"),
    "a description that is a list": replaced("checkpoint.json", b"[]"),
    "another format": edited_description(lambda described: described.update(format="other")),
    "a later version": edited_description(lambda described: described.update(version=VERSION + 1)),
    "no step": edited_description(lambda described: described.pop("step")),
    "no normalizer": edited_description(lambda described: described.pop("normalizer")),
    "no configuration": edited_description(lambda described: described.pop("config")),
    "a configuration without a key": edited_description(lambda described: described["config"].pop("seed")),
    "a configuration with a class": edited_description(
        lambda described: described["config"]["model"].update(_target_="os.system")
    ),
    "a part of an unknown name": edited_description(
        lambda described: described["config"]["model"]["encoder"].update(name="os.system")
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
    "another architecture": edited_description(
        lambda described: described["config"]["model"]["encoder"].update(depth=2)
    ),
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
