"""What can befall the folder of an inverse-dynamics head."""

import shutil
from functools import partial
from math import inf, nan

import torch

from lewm.heads.files import VERSION
from tests.training.damages import cut_off, edited_description, flipped_bit, replaced, rewritten, tensors_changed

edited_head = partial(edited_description, file="head.json")
rewritten_head = partial(rewritten, "head.safetensors", file="head.json")


def edited_fitting(**values):
    return edited_head(lambda described: described["fitting"].update(values))


def edited_component(**values):
    return edited_head(lambda described: described["head"].update(values))


DAMAGES = {
    "an empty folder": lambda path: [file.unlink() for file in path.iterdir()],
    "a file in its place": lambda path: (shutil.rmtree(path), path.write_text("")),
    "no description": lambda path: (path / "head.json").unlink(),
    "a description cut off": cut_off("head.json"),
    "an empty description": replaced("head.json", b""),
    "a description that is no text": replaced("head.json", b"\x80\x04\xff\xfe"),
    "a description that is a list": replaced("head.json", b"[]"),
    "a format and nothing else": replaced("head.json", b'{"format": "lewm-head", "version": %d}' % VERSION),
    "another format": edited_head(lambda described: described.update(format="other")),
    "a later version": edited_head(lambda described: described.update(version=VERSION + 1)),
    "the first version": edited_head(lambda described: described.update(version=1)),
    "no hashes": edited_head(lambda described: described.pop("files")),
    "hashes that are a list": edited_head(lambda described: described.update(files=[])),
    "no hash of the weights": edited_head(lambda described: described.update(files={})),
    "a hash that is a number": edited_head(lambda described: described["files"].update({"head.safetensors": 3})),
    "no model": edited_head(lambda described: described.pop("model_weights")),
    "a model that is a number": edited_head(lambda described: described.update(model_weights=7)),
    "no head": edited_head(lambda described: described.pop("head")),
    "a head that is a name": edited_head(lambda described: described.update(head="inverse_dynamics")),
    "a head without a name": edited_head(lambda described: described["head"].pop("name")),
    "a head of an unknown name": edited_component(name="os.system"),
    "a name that is a list": edited_component(name=["inverse_dynamics"]),
    "another head": edited_component(name="temporal_distance"),
    "an argument too many": edited_component(_target_="os.system"),
    "an argument too few": edited_head(lambda described: described["head"].pop("hidden_dim")),
    "an argument that is text": edited_component(hidden_dim="64"),
    "an argument that makes no sense": edited_component(num_layers=0),
    "no fitting": edited_head(lambda described: described.pop("fitting")),
    "a fitting that is a list": edited_head(lambda described: described.update(fitting=[1])),
    "a number of steps that is text": edited_fitting(num_steps="400"),
    "a number of steps below one": edited_fitting(max_steps=0),
    "a precision that there is not": edited_fitting(precision="half"),
    "a learning rate that is null": edited_fitting(learning_rate=None),
    "errors that are a number": edited_head(lambda described: described.update(errors=0.5)),
    "no weights": lambda path: (path / "head.safetensors").unlink(),
    "weights cut off": cut_off("head.safetensors"),
    "empty weights": replaced("head.safetensors", b""),
    "pickled weights": lambda path: torch.save({}, path / "head.safetensors"),
    "a flipped bit": flipped_bit("head.safetensors"),
    "weights of another head of this size": tensors_changed(
        "head.safetensors", lambda tensors: tensors["mlp.mean"].add_(1)
    ),
    "weights that are nan": rewritten_head(lambda tensors: tensors["mlp.mean"].fill_(nan)),
    "an infinite weight": rewritten_head(lambda tensors: tensors["mlp.layers.0.weight"][0, 0].fill_(inf)),
    "a weight too few": rewritten_head(lambda tensors: tensors.pop("mlp.std")),
    "a weight too many": rewritten_head(lambda tensors: tensors.update(other=torch.ones(1))),
    "a weight of another shape": rewritten_head(lambda tensors: tensors.update({"mlp.mean": torch.ones(3)})),
    "another architecture": edited_component(context=3),
}
"""By name: functions of the folder."""
