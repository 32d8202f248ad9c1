"""LeWM's training step as the package stable-worldmodel has it, with random weights and at the sizes of ours."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lewm.clip import Clip
from lewm.errors import InputError
from lewm.models.vit import IMAGENET_MEAN, IMAGENET_STD
from lewm.training.throughput import now
from lewm.training.trainer import Trainer
from scripts.benchmarks.planning_peer import NAME, their_parts
from scripts.benchmarks.training_case import Case

PACKAGES = ("stable_worldmodel", "stable_pretraining")

SIGREG_WEIGHT = 0.09
"""Weight of their SIGReg, which has a factor N."""


def check(cases: Sequence[Case]) -> None:
    """Raises InputError where their package is missing, or a case is of another model than LeWM's."""
    if not all(importlib.util.find_spec(package) for package in PACKAGES):
        raise InputError(f"--peer needs {NAME}: uv run --with '{NAME}[train]' python scripts/benchmarks/training.py")
    for case in cases:
        if case.model != "paper":
            raise InputError(f"--peer: {NAME} has LeWM's model, configs/model/paper.yaml, and not {case.model}")


class TheirStep:
    """A step of theirs: forward pass, loss, backward pass, clipping and AdamW, as their train script makes it.

    Args:
      trainer: our trainer of LeWM's model; device, precision and all sizes are its own.

    Attributes:
      model: their model.
      num_parameters: parameters of their model, as many as ours has.
      seconds: seconds of each step so far.
    """

    def __init__(self, trainer: Trainer) -> None:
        from stable_pretraining.backbone.utils import vit_hf
        from stable_worldmodel.wm.lewm.lewm import LeWM
        from stable_worldmodel.wm.lewm.module import MLP
        from stable_worldmodel.wm.loss import SIGReg

        self._config, self._device = trainer.config, trainer.accelerator.device
        self._autocast = trainer.accelerator.mixed_precision == "bf16"
        model, spec = trainer.config.model, trainer.spec
        encoder = vit_hf(
            "tiny",
            patch_size=model.encoder["patch_size"],
            image_size=spec.frame_size,
            pretrained=False,
            use_mask_token=False,
        )
        predictor, action_encoder, predictor_projector = their_parts(model, spec.action_dim)
        width, hidden_dim = encoder.config.hidden_size, model.projector["hidden_dim"]
        projector = MLP(width, hidden_dim, model.embedding_dim, norm_fn=nn.BatchNorm1d)
        self.model = LeWM(encoder, predictor, action_encoder, projector, predictor_projector).to(self._device).train()
        self._sigreg = SIGReg().to(self._device)
        training = trainer.config.training
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self.num_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.seconds: list[float] = []

    def __call__(self, clip: Clip) -> None:
        """Makes a step and times it; the clips are normalized and on the device before its time begins."""
        batch = self._prepare(clip)
        begin = now(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            loss = self._loss(batch)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._config.training.max_grad_norm)
        self._optimizer.step()
        self.seconds.append(now(self._device) - begin)

    def _prepare(self, clip: Clip) -> dict[str, Any]:
        """Normalized frames, and as many action blocks as frames: the last one leads out of the clip."""
        pixels, actions, _ = (tensor.to(self._device) for tensor in clip)
        mean, std = (
            torch.tensor(values, device=self._device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        return {
            "pixels": (pixels / 255 - mean) / std,
            "action": torch.cat([actions, torch.zeros_like(actions[:, :1])], dim=1),
        }

    def _loss(self, batch: dict[str, Any]) -> Tensor:
        """Prediction error and their regularizer of a batch."""
        context = self._config.model.context
        output: dict[str, Tensor] = self.model.encode(batch)
        z = output["emb"]
        z_next = self.model.predict(z[:, :context], output["act_emb"][:, :context])
        regularizer: Tensor = self._sigreg(z.transpose(0, 1))
        return (z_next - z[:, 1:]).square().mean() + SIGREG_WEIGHT * regularizer
