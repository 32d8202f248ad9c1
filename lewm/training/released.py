"""Released LeWorldModel checkpoints, read and written: weights.pt and config.json, as stable-worldmodel has them.

Its transformers library has named the encoder's parts in two ways. Both are read, the newer is written. The file of the
weights is read by torch.load(weights_only=True), so that nothing in it is executed.
"""

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor

from lewm.config import ModelConfig
from lewm.errors import InputError
from lewm.files import write_json
from lewm.models import JEPA, ViTEncoder
from lewm.models.vit import IMAGENET_MEAN, IMAGENET_STD
from lewm.training.model_spec import ModelSpec
from lewm.training.tensors import not_finite

WEIGHTS, DESCRIPTION = "weights.pt", "config.json"

SIZES = {
    "tiny": {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3},
    "small": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    "huge": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16},
}
"""Words for the size of an encoder. MLPs are four times as wide as the word says, whatever hidden_size is."""

OLDER_NAMES = (
    (
        r"encoder\.encoder\.layer\.(\d+)\.attention\.attention\.(q|k|v)(?:uery|ey|alue)",
        r"encoder.layers.\1.attention.\2_proj",
    ),
    (r"encoder\.encoder\.layer\.(\d+)\.attention\.output\.dense", r"encoder.layers.\1.attention.o_proj"),
    (r"encoder\.encoder\.layer\.(\d+)\.intermediate\.dense", r"encoder.layers.\1.mlp.fc1"),
    (r"encoder\.encoder\.layer\.(\d+)\.output\.dense", r"encoder.layers.\1.mlp.fc2"),
    (r"encoder\.encoder\.layer\.(\d+)\.", r"encoder.layers.\1."),
)
"""Patterns of the encoder's older names, and the newer ones."""

NAMES = (
    (r"encoder\.vit\.cls_token", "encoder.embeddings.cls_token"),
    (r"encoder\.vit\.pos_embed", "encoder.embeddings.position_embeddings"),
    (r"encoder\.vit\.patch_embed\.proj", "encoder.embeddings.patch_embeddings.projection"),
    (r"encoder\.vit\.blocks\.(\d+)\.norm1", r"encoder.layers.\1.layernorm_before"),
    (r"encoder\.vit\.blocks\.(\d+)\.norm2", r"encoder.layers.\1.layernorm_after"),
    (r"encoder\.vit\.blocks\.(\d+)\.attn\.qkv", r"encoder.layers.\1.attention.*_proj"),
    (r"encoder\.vit\.blocks\.(\d+)\.attn\.proj", r"encoder.layers.\1.attention.o_proj"),
    (r"encoder\.vit\.blocks\.(\d+)\.mlp", r"encoder.layers.\1.mlp"),
    (r"encoder\.vit\.norm", "encoder.layernorm"),
    (r"projector", "projector.net"),
    (r"predictor_projector", "pred_proj.net"),
    (r"action_encoder\.input", "action_encoder.patch_embed"),
    (r"action_encoder\.mlp", "action_encoder.embed"),
    (r"predictor\.positions\.weight", "predictor.pos_embedding"),
    (r"predictor\.blocks\.(\d+)\.attention\.to_out", r"predictor.transformer.layers.\1.attn.to_out.0"),
    (r"predictor\.blocks\.(\d+)\.attention", r"predictor.transformer.layers.\1.attn"),
    (r"predictor\.blocks\.(\d+)\.mlp", r"predictor.transformer.layers.\1.mlp.net"),
    (r"predictor\.blocks\.(\d+)\.modulation", r"predictor.transformer.layers.\1.adaLN_modulation"),
    (r"predictor\.norm", "predictor.transformer.norm"),
)
"""Patterns of this package's names, and the released ones; * stands for q, k and v, which are stacked here."""

OWN = ("encoder.mean", "encoder.std")
"""Tensors that released checkpoints lack: the normalization of the pixels."""

UNUSED = ("encoder.embeddings.mask_token", "encoder.pooler.dense.weight", "encoder.pooler.dense.bias")
"""Tensors of their encoder that no embedding depends on."""


def their_names(name: str) -> tuple[str, ...]:
    """Names of the released tensors that make up one of ours."""
    for pattern, replacement in NAMES:
        theirs, found = re.subn(rf"^{pattern}(?=\.|$)", replacement, name)
        if found:
            return tuple(theirs.replace("*", letter) for letter in "qkv") if "*" in theirs else (theirs,)
    raise KeyError(name)


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """A released checkpoint that has been read and checked.

    Attributes:
      path: file of the weights.
      model: architecture of the model.
      frame_size: height and width of its frames, pixels.
      action_dim: A, numbers in an action block.
      tensors: its weights by their released names, newer ones.
    """

    path: Path
    model: ModelConfig
    frame_size: int
    action_dim: int
    tensors: dict[str, Tensor]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads a folder with weights.pt and config.json, or a file of weights with config.json beside it.

        Raises:
          InputError: a file is missing or damaged, or the model is another than LeWorldModel's.
        """
        if not path.exists():
            raise InputError(f"there is no {path}: give the folder with {WEIGHTS} and {DESCRIPTION}")
        file = path / WEIGHTS if path.is_dir() else path
        description = Description.read(file.parent / DESCRIPTION)
        tensors = read_weights(file)
        action_weight = tensors.get("action_encoder.patch_embed.weight")
        if action_weight is None or action_weight.dim() != 3:
            raise InputError(f"{file} has no action_encoder.patch_embed.weight: it is no checkpoint of LeWorldModel")
        encoder_mlp = tensors.get("encoder.layers.0.mlp.fc1.weight")
        mlp_dim = None if encoder_mlp is None else len(encoder_mlp)
        model = description.model(mlp_dim)
        return cls(file, model, description.number("encoder.image_size"), action_weight.shape[1], tensors)

    def load_into(self, model: JEPA) -> None:
        """Fills a model of this architecture with the weights. InputError: they do not fit, or some are left over."""
        state = model.state_dict()
        left = {name: value for name, value in self.tensors.items() if name not in UNUSED}
        for name, ours in state.items():
            if name in OWN:
                continue
            pieces = []
            for theirs in their_names(name):
                if theirs not in left:
                    raise InputError(f"{self.path} lacks {theirs}, which a model of its config.json has")
                pieces.append(left.pop(theirs))
            if sum(piece.numel() for piece in pieces) != ours.numel():
                shapes = ", ".join(str(tuple(piece.shape)) for piece in pieces)
                raise InputError(
                    f"{self.path}: {their_names(name)[0]} has the shape {shapes}, and its config.json asks for"
                    f" {ours.numel():,} numbers"
                )
            state[name] = torch.cat(pieces).reshape(ours.shape) if pieces[0].dim() else pieces[0]
        if left:
            raise InputError(f"{self.path} has {min(left)}, which no model of LeWorldModel has")
        model.load_state_dict(state)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors of a weights.pt by their newer names. InputError: it is missing, damaged, or holds other things."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"there is no {file}: give the folder with {WEIGHTS} and {DESCRIPTION}") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{file} cannot be read as weights: {str(error).splitlines()[0]}") from None
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{file} is no state dict: give weights as model.state_dict() has them")
    tensors = {newer_name(str(name)): value for name, value in content.items()}
    if wrong := not_finite(tensors):
        raise InputError(f"{file} is damaged: {wrong[0]} is not finite everywhere")
    return tensors


def newer_name(name: str) -> str:
    """The newer name of a tensor of the encoder; other names stay."""
    for pattern, replacement in OLDER_NAMES:
        name = re.sub(f"^{pattern}", replacement, name)
    return name


@dataclass(frozen=True)
class Description:
    """The config.json of a released checkpoint.

    Attributes:
      path: the file.
      values: its content.
    """

    path: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the file. InputError: it is missing or damaged."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is missing or damaged ({error})") from None
        if not isinstance(values, dict):
            raise InputError(f"{path} is no configuration of LeWorldModel: it has no encoder and predictor")
        return cls(path, values)

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a dotted key, or a default."""
        found: Any = self.values
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                return default
            found = found[part]
        return found

    def number(self, key: str, default: int | None = None) -> int:
        """The whole number of a dotted key. InputError: it is missing, and there is no default, or is none."""
        found = self.value(key, default)
        if type(found) is not int or found < 1:
            raise InputError(f"{self.path}: {key}={found!r} must be a whole number of at least 1")
        return found

    def model(self, encoder_mlp_dim: int | None) -> ModelConfig:
        """Architecture of the model.

        Args:
          encoder_mlp_dim: hidden width of the encoder's MLPs in the weights, where the file does not say it.
        """
        size = self.value("encoder.size")
        if size not in SIZES:
            raise InputError(f"{self.path}: encoder.size={size!r} is none of {', '.join(SIZES)}")
        width, depth, num_heads = (self.number(f"encoder.{key}", value) for key, value in SIZES[size].items())
        dim = self.number("predictor.input_dim")
        hidden_dim = self.number("projector.hidden_dim")
        predictor_width = self.number("predictor.hidden_dim")
        mlp_dim = self.number("encoder.intermediate_size", encoder_mlp_dim or 4 * SIZES[size]["hidden_size"])
        for key, default, wanted in (
            ("projector.output_dim", dim, dim),
            ("predictor.hidden_dim", dim, dim),
            ("predictor.output_dim", dim, dim),
            ("pred_proj.input_dim", predictor_width, predictor_width),
            ("pred_proj.output_dim", dim, dim),
            ("pred_proj.hidden_dim", hidden_dim, hidden_dim),
            ("action_encoder.emb_dim", dim, dim),
        ):
            if (found := self.number(key, default)) != wanted:
                raise InputError(f"{self.path}: {key}={found}, where models of this package have {wanted}")
        return ModelConfig(
            name="released",
            embedding_dim=dim,
            context=self.number("predictor.num_frames"),
            encoder={
                "name": "vit",
                "patch_size": self.number("encoder.patch_size"),
                "width": width,
                "depth": depth,
                "num_heads": num_heads,
                "mlp_ratio": mlp_dim / width,
                "normalization": "imagenet",
                "pooling": "cls",
                "stem": "linear",
                "positions": "learned",
            },
            projector={"name": "mlp", "hidden_dim": hidden_dim},
            flow=None,
            action_encoder={
                "name": "mlp",
                "bottleneck_dim": self.number("action_encoder.smoothed_dim", 10),
                "hidden_dim": self.number("action_encoder.mlp_scale", 4) * dim,
            },
            predictor={
                "name": "adaln",
                "width": dim,
                "depth": self.number("predictor.depth"),
                "num_heads": self.number("predictor.heads"),
                "head_dim": self.number("predictor.dim_head", 64),
                "mlp_dim": self.number("predictor.mlp_dim"),
                "dropout": self.value("predictor.dropout", 0.0),
            },
            actor=None,
            contrast=None,
        )


def write_released(folder: Path, spec: ModelSpec, model: JEPA) -> None:
    """Writes weights.pt and config.json of a model into a folder.

    Args:
      folder: folder that exists.
      spec: specification of the model.
      model: the model.

    Raises:
      InputError: the released layout has no place for a part of the model.
    """
    description, encoder = describe(spec), cast(ViTEncoder, model.encoder)
    for found, imagenet in ((encoder.mean, IMAGENET_MEAN), (encoder.std, IMAGENET_STD)):
        if not torch.equal(found.cpu(), (255 * torch.tensor(imagenet)[:, None, None]).expand_as(found)):
            raise InputError("frames are normalized by other numbers than ImageNet's, the released layout's only ones")
    tensors: dict[str, Tensor] = {}
    for name, ours in model.state_dict().items():
        if name in OWN:
            continue
        theirs = their_names(name)
        for key, piece in zip(theirs, ours.cpu().chunk(len(theirs)) if ours.dim() else (ours.cpu(),), strict=True):
            tensors[key] = piece.reshape(their_shape(key, piece.shape)).clone()
    try:
        torch.save(tensors, folder / WEIGHTS)
    except (OSError, RuntimeError) as error:  # a full disk, say
        raise InputError(f"cannot write {folder / WEIGHTS}: {str(error).splitlines()[0]}") from None
    write_json(folder / DESCRIPTION, description)


def their_shape(name: str, shape: Iterable[int]) -> tuple[int, ...]:
    """Shape of a released tensor: a 1 x 1 convolution is a linear map here, and positions have no batch."""
    sizes = tuple(shape)
    if name == "action_encoder.patch_embed.weight":
        return (*sizes, 1)
    return (1, *sizes) if name == "predictor.pos_embedding" else sizes


def describe(spec: ModelSpec) -> dict[str, Any]:
    """The config.json of a model. InputError: the released layout has no place for a part of it."""
    model, encoder, predictor = spec.model, spec.model.encoder, spec.model.predictor
    dim = model.embedding_dim
    for key, found, wanted in (
        *((f"model.{key}", getattr(model, key), None) for key in ("flow", "actor", "contrast")),
        *(
            (f"model.encoder.{key}", encoder.get(key), wanted)
            for key, wanted in (("normalization", "imagenet"), ("pooling", "cls"), ("stem", "linear"))
        ),
        ("model.predictor.name", predictor.get("name"), "adaln"),
        ("model.predictor.width", predictor.get("width"), dim),
    ):
        if found != wanted:
            shown = found["name"] if isinstance(found, dict) else found
            raise InputError(f"{key}={shown}: the released layout has {'none' if wanted is None else wanted} alone")
    mlp_scale, rest = divmod(model.action_encoder["hidden_dim"], dim)
    if rest:
        raise InputError(f"model.action_encoder.hidden_dim must be a multiple of {dim} in the released layout")
    if (predictor["num_heads"], predictor["head_dim"]) == (1, dim):
        raise InputError(f"one head of {dim} numbers has no output map in the released layout")
    sizes = {"hidden_size": "width", "num_hidden_layers": "depth", "num_attention_heads": "num_heads"}
    given = {theirs: encoder[ours] for theirs, ours in sizes.items()}
    size = next((word for word, values in SIZES.items() if values == given), "tiny")
    others = {} if SIZES[size] == given else given
    mlp_dim = int(encoder["width"] * encoder.get("mlp_ratio", 4))
    module = "stable_worldmodel.wm.lewm"
    mlp = {
        "_target_": f"{module}.module.MLP",
        "output_dim": dim,
        "hidden_dim": model.projector["hidden_dim"],
        "norm_fn": {"_target_": "hydra.utils.get_class", "path": "torch.nn.BatchNorm1d"},
    }
    return {
        "_target_": f"{module}.LeWM",
        "encoder": {
            "_target_": "stable_pretraining.backbone.utils.vit_hf",
            "size": size,
            "patch_size": encoder["patch_size"],
            "image_size": spec.frame_size,
            "pretrained": False,
            "use_mask_token": False,
            **others,
            **({} if mlp_dim == 4 * SIZES[size]["hidden_size"] else {"intermediate_size": mlp_dim}),
        },
        "predictor": {
            "_target_": f"{module}.module.Predictor",
            "num_frames": model.context,
            "input_dim": dim,
            "hidden_dim": dim,
            "output_dim": dim,
            "depth": predictor["depth"],
            "heads": predictor["num_heads"],
            "mlp_dim": predictor["mlp_dim"],
            "dim_head": predictor["head_dim"],
            "dropout": predictor["dropout"],
            "emb_dropout": 0.0,
        },
        "action_encoder": {
            "_target_": f"{module}.module.Embedder",
            "input_dim": spec.action_dim,
            "smoothed_dim": model.action_encoder["bottleneck_dim"],
            "emb_dim": dim,
            "mlp_scale": mlp_scale,
        },
        "projector": {**mlp, "input_dim": encoder["width"]},
        "pred_proj": {**mlp, "input_dim": dim},
    }
