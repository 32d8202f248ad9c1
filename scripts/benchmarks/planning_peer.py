"""LeWM and its planner as the package stable-worldmodel has them, with the weights of one of our models."""

import contextlib
import importlib.util
import io
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from lewm.config import ModelConfig
from lewm.models import JEPA

NAME = "stable-worldmodel"


def is_installed() -> bool:
    return importlib.util.find_spec("stable_worldmodel") is not None


class TheirEncoder(nn.Module):
    """Our encoder behind the interface of theirs: two frames of a plan that makes thousands of predictions."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor, interpolate_pos_encoding: bool) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.encoder(pixels.to(torch.uint8))[:, None])


def their_parts(config: ModelConfig, action_dim: int) -> tuple[Any, nn.Module, nn.Module]:
    """Their predictor, action encoder and projector of predictions at our sizes, with random weights."""
    from stable_worldmodel.wm.lewm.module import MLP, Embedder, Predictor

    ours, dim = config.predictor, config.embedding_dim
    embedder = config.action_encoder
    predictor = Predictor(
        num_frames=config.context,
        depth=ours["depth"],
        heads=ours["num_heads"],
        mlp_dim=ours["mlp_dim"],
        input_dim=dim,
        hidden_dim=ours["width"],
        dim_head=ours["head_dim"],
        dropout=ours["dropout"],
    )
    action_encoder = Embedder(action_dim, embedder["bottleneck_dim"], dim, embedder["hidden_dim"] // dim)
    return predictor, action_encoder, MLP(dim, config.projector["hidden_dim"], dim, norm_fn=nn.BatchNorm1d)


def their_model(model: JEPA, config: ModelConfig, action_dim: int) -> nn.Module:
    """Their world model with our weights; both have the same parts in the same order."""
    from stable_worldmodel.wm.lewm.lewm import LeWM

    predictor, action_encoder, projector = their_parts(config, action_dim)
    peer = LeWM(TheirEncoder(model.encoder), predictor, action_encoder, model.projector, projector)
    transformer: Any = predictor.transformer
    our_predictor: Any = model.predictor
    _copy(model.action_encoder, action_encoder)
    _copy(model.predictor_projector, projector)
    _copy(our_predictor.norm, transformer.norm)
    predictor.pos_embedding.data.copy_(our_predictor.positions.weight)
    for our_block, block in zip(our_predictor.blocks, transformer.layers, strict=True):
        for part, their_part in (("attention", "attn"), ("mlp", "mlp"), ("modulation", "adaLN_modulation")):
            _copy(getattr(our_block, part), getattr(block, their_part))
    return peer.to(next(model.parameters()).device).eval()


def _copy(ours: nn.Module, theirs: nn.Module) -> None:
    """In the order of their declaration, which is the same; a 1 x 1 convolution is a linear map."""
    for source, target in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        target.copy_(source.reshape(target.shape))


class TheirPlanner:
    """Their solver for B pairs of frames.

    Args:
      peer: model that their_model() returns.
      num_samples, num_elites, horizon: settings of the cross-entropy method.
      action_dim: A, of a block of `frameskip` raw actions.
      num_envs: B; each batch of theirs is one of them, as they plan by default.
    """

    def __init__(
        self, peer: nn.Module, num_samples: int, num_elites: int, horizon: int, action_dim: int, num_envs: int
    ) -> None:
        from stable_worldmodel.solver.cem import CEMSolver

        device = next(peer.parameters()).device
        self.peer, self.num_samples = peer, num_samples
        self.solver = CEMSolver(peer, 1, num_samples, 1.0, 1, num_elites, device)
        space = gym.spaces.Box(-1, 1, (num_envs, action_dim), np.float32)
        self.solver.configure(
            action_space=space, n_envs=num_envs, config=SimpleNamespace(horizon=horizon, action_block=1)
        )

    def plan(self, pixels: Tensor, goal_pixels: Tensor, num_iterations: int) -> Tensor:
        """(B, C, h, w), (B, C, h, w) -> (B, H, A)."""
        self.solver.n_steps = num_iterations
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
            actions: Tensor = self.solver.solve(self._info(pixels, goal_pixels))["actions"]
        return actions

    @torch.inference_mode()
    def costs(self, pixels: Tensor, goal_pixels: Tensor, candidates: Tensor) -> Tensor:
        """(B, N, H, A) -> (B, N)."""
        info = {key: value[:, None] for key, value in self._info(pixels, goal_pixels).items()}
        info = {key: value.expand(-1, candidates.shape[1], *value.shape[2:]) for key, value in info.items()}
        costs: Tensor = self.peer.get_cost(info, candidates)  # type: ignore[operator]
        return costs

    def _info(self, pixels: Tensor, goal_pixels: Tensor) -> dict[str, Tensor]:
        action = torch.zeros(len(pixels), 1, self.solver.action_dim, device=pixels.device)
        return {"pixels": pixels[:, None], "goal": goal_pixels[:, None], "action": action}
