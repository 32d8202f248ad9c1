"""Trial of the default configuration: a training step and a plan with frames of its environment, in seconds."""

from typing import Any, cast

import hydra
import numpy as np
import torch
from omegaconf import OmegaConf

from lewm.agent import Agent
from lewm.clip import Clip
from lewm.config import CONFIGS, EnvConfig, TrainConfig, from_dict
from lewm.data.normalize import ActionNormalizer
from lewm.environment import make_env
from lewm.training.accelerator import choose_device
from lewm.training.model_spec import ModelSpec, TrainingData
from lewm.training.objective import build_objective

BATCH_SIZE = 8


def try_step_and_plan() -> float:
    """Trains one step on clips of frames of the environment under random actions, and plans from one to another.

    Returns:
      The loss before the step.
    """
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = OmegaConf.to_container(hydra.compose("train"), resolve=True)
    config = cast(TrainConfig, from_dict(cast(dict[str, Any], composed), TrainConfig))
    assert isinstance(config.env, EnvConfig)
    env, num_frames, device = make_env(config.env), config.training.num_frames, choose_device(config.device)
    space = env.action_space
    frames = [env.reset(seed=0)[0]["pixels"]]
    while len(frames) < BATCH_SIZE + num_frames - 1:
        frames.append(env.step(space.sample())[0]["pixels"])
    env.close()
    spec = ModelSpec(
        model=config.model,
        frame_size=config.env.frame_size,
        frameskip=config.env.frameskip,
        normalizer=ActionNormalizer((0.0,) * len(space.low), (1.0,) * len(space.low)),
        action_low=tuple(map(float, space.low)),
        action_high=tuple(map(float, space.high)),
        data=TrainingData(
            path="",
            content_hash="",
            env_id=config.env.id,
            state_names=env.state_names,
            angles=env.angles,
            velocities=env.velocities,
            collected_by=None,
            val_fraction=0.0,
            split_seed=0,
        ),
    )
    torch.manual_seed(config.seed)
    model = spec.build_model()
    windows = np.stack([frames[start : start + num_frames] for start in range(BATCH_SIZE)])
    pixels = torch.from_numpy(windows).movedim(-1, -3)
    model.fit_normalization(pixels)
    objective = build_objective(model, config.regularizer, config.training.rollout_steps).to(device)
    actions = torch.randn(BATCH_SIZE, num_frames - 1, spec.action_dim)
    clip = Clip(pixels.to(device), actions.to(device), torch.zeros(BATCH_SIZE, num_frames, 1))
    loss, _ = objective(clip, torch.Generator(device).manual_seed(config.seed))
    loss.total.backward()
    torch.optim.AdamW(objective.parameters(), config.training.learning_rate).step()
    agent = Agent.of(spec, model.eval(), config.planner, config.planning, config.seed, {}, device)
    nothing_done = np.zeros((0, len(space.low)), np.float32)
    plan = agent.plan(np.stack(frames[:1]), nothing_done, frames[-1])
    assert np.isfinite(plan.actions).all(), "the plan is not finite"
    return loss.total.item()
