"""Parts of the benchmark of plans: agreement, the time of each part, and what the hardware allows."""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import hydra
import torch
from omegaconf import OmegaConf
from rich.progress import Progress
from torch import Tensor, nn

from lewm.config import CONFIGS, ModelConfig, PlanningConfig, build, from_dict
from lewm.heads import HEADS
from lewm.models import JEPA
from lewm.models.rollout.build import build_rollout
from lewm.planning.build import build_mpc
from lewm.planning.latent_planners import Search
from lewm.planning.mpc import MPC
from lewm.training.model_spec import build_model
from lewm.training.throughput import count_flops, matrix_flops_per_s, now
from scripts.benchmarks.planning_peer import TheirPlanner

RAW_ACTION_DIM, FRAMESKIP = 2, 5
ACTION_DIM = RAW_ACTION_DIM * FRAMESKIP

Plans = dict[str, Callable[[int], Any]]
"""By contender, a function that plans with a number of iterations."""


def option(group: str, name: str) -> dict[str, Any]:
    """The node of configs/<group>/<name>.yaml, with those of the files that it names."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config: Any = OmegaConf.to_container(hydra.compose(f"{group}/{name}"))
    values: dict[str, Any] = config[group]
    return values


def random_model(config: ModelConfig, frame_size: int) -> JEPA:
    """In eval mode; its blocks are modulated by the action, which they are not before training."""
    torch.manual_seed(0)
    model = build_model(config, frame_size, ACTION_DIM).eval()
    for block in cast(Any, model.predictor).blocks:
        nn.init.normal_(block.modulation[-1].weight, std=0.05)
        nn.init.normal_(block.modulation[-1].bias, std=0.2)
    return model.requires_grad_(False)


def make_mpc(model: JEPA, planner: dict[str, Any], settings: dict[str, Any], planning: str = "lewm") -> MPC:
    """With configs/planning/<planning>.yaml but for `settings`."""
    values: PlanningConfig = from_dict(option("planning", planning) | settings, PlanningConfig)
    device = next(model.parameters()).device
    bound = torch.full((FRAMESKIP, RAW_ACTION_DIM), 3.0, device=device)
    return build_mpc(model, build_rollout(model, values, device.type), planner, values, -bound, bound, seed=0)


def our_plan(
    model: JEPA,
    planner: dict[str, Any],
    settings: dict[str, Any],
    frames: Tensor,
    goals: Tensor,
    planning: str = "lewm",
) -> Callable[[int], Tensor]:
    """From a number of iterations to a plan."""
    mpc = make_mpc(model, planner, settings, planning)

    def plan(iterations: int) -> Tensor:
        search = replace(cast(Any, mpc.planner).search, num_iterations=iterations)
        searching = replace(mpc, planner=Search(search))
        state = searching.start(frames, goals, tuple(range(len(frames))), ACTION_DIM)
        return searching.plan(state)[0].actions

    return plan


def race(plans: Plans, iterations: int, repeats: int, device: torch.device, progress: Progress) -> dict[str, float]:
    """Median seconds of each contender's plan, all in turn; one of 1 iteration goes before."""
    bar = progress.add_task("planning", total=repeats * len(plans), unit="plans")
    times: dict[str, list[float]] = {name: [] for name in plans}
    for plan in plans.values():
        plan(1)
    for _ in range(repeats):
        for name, plan in plans.items():
            begin = now(device)
            plan(iterations)
            times[name].append(now(device) - begin)
            progress.advance(bar)
    return {name: statistics.median(values) for name, values in times.items()}


def situation(mpc: MPC, frames: Tensor, goals: Tensor, num_samples: int) -> tuple[Any, Tensor]:
    """The state after the first frames, and (B, N, H, A) candidates."""
    state = mpc.start(frames, goals, tuple(range(len(frames))), ACTION_DIM)
    shape = (len(frames), num_samples, mpc.horizon, ACTION_DIM)
    return state, torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(frames.device)


@torch.no_grad()
def agreement(
    mpc: MPC, model: JEPA, frames: Tensor, goals: Tensor, num_samples: int, theirs: TheirPlanner | None
) -> dict[str, float]:
    """Largest differences on the same candidates."""
    state, candidates = situation(mpc, frames, goals, num_samples)
    z_next = mpc.rollout(state.z, state.actions)(candidates)
    plain = plain_rollout(model, state.z, candidates)
    found = {"embeddings_of_plain_rollout": (z_next - plain).abs().max().item(), "embedding_std": plain.std().item()}
    if theirs is not None:
        ours = (z_next[:, :, -1] - state.z_goal[:, None]).square().sum(-1)
        costs = theirs.costs(frames, goals, candidates)
        found["relative_cost_of_peer"] = ((ours - costs).abs() / costs).max().item()
    return found


def plain_rollout(model: JEPA, z: Tensor, candidates: Tensor) -> Tensor:
    starts = z.repeat_interleave(candidates.shape[1], dim=0)
    return model.rollout(starts, candidates.flatten(0, 1)).unflatten(0, candidates.shape[:2])


@torch.no_grad()
def parts(
    mpc: MPC,
    model: JEPA,
    frames: Tensor,
    goals: Tensor,
    args: argparse.Namespace,
    device: torch.device,
    progress: Progress,
) -> dict[str, float]:
    """Median ms of what a plan is made of."""
    state, candidates = situation(mpc, frames, goals, args.samples)
    imagine, search = mpc.rollout(state.z, state.actions), cast(Any, mpc.planner).search
    functions: Plans = {
        "encoding the frames and the goals": lambda _: model.encode(torch.stack([frames, goals], 1)),
        "an iteration's rollout": lambda _: imagine(candidates),
        "an iteration's rollout, plain": lambda _: plain_rollout(model, state.z, candidates),
        "an iteration's search": lambda _: search(lambda c: c[:, :, 0, 0], state.mean, generator=mpc.noise(state)),
    }
    seconds = race(functions, 1, args.repeats, device, progress)
    seconds["an iteration's search"] /= search.num_iterations
    return {name: 1e3 * value for name, value in seconds.items()}


@torch.no_grad()
def floor(
    mpc: MPC, model: JEPA, frames: Tensor, goals: Tensor, args: argparse.Namespace, device: torch.device
) -> dict[str, float]:
    """What the operations and the bytes of an iteration's rollout take at the speeds that this machine reaches."""
    state, candidates = situation(mpc, frames, goals, args.samples)
    eager = getattr(mpc.rollout, "rollout", mpc.rollout)  # graphs hide their operations from the counter
    counts = {}
    for name, function in (
        ("cached", lambda: eager(state.z, state.actions)(candidates)),
        ("plain", lambda: plain_rollout(model, state.z, candidates)),
    ):
        # oneDNN's packed products, which gradients switch off, are unknown to the counter
        with torch.enable_grad():
            counts[name] = count_flops(function)
    num_bytes = sum(4 * tensor.numel() for tensor in (*predictor_parameters(model), candidates))
    block = torch.empty(2**26 // 4, device=device)
    flops, bandwidth = matrix_flops_per_s(device, torch.float32), 2 * 2**26 / fastest(block.clone, device)
    return {
        "gflop": counts["cached"] / 1e9,
        "gflop_plain": counts["plain"] / 1e9,
        "gflop_per_s": flops / 1e9,
        "operations_ms": 1e3 * counts["cached"] / flops,
        "megabytes": num_bytes / 1e6,
        "bytes_ms": 1e3 * num_bytes / bandwidth,
    }


def predictor_parameters(model: JEPA) -> list[Tensor]:
    return [p for part in (model.action_encoder, model.predictor, model.predictor_projector) for p in part.parameters()]


def fastest(function: Callable[[], Any], device: torch.device) -> float:
    """Seconds, the least of 10 calls after one."""
    times = []
    for _ in range(11):
        begin = now(device)
        function()
        times.append(now(device) - begin)
    return min(times[1:])


def smaller(
    model: JEPA, frames: Tensor, goals: Tensor, repeats: int, device: torch.device, progress: Progress
) -> dict[str, float]:
    """Median ms of a plan of one episode by the default planner, and of an action block by an inverse-dynamics head."""
    planner, settings = option("planner", "icem"), {"precision": "float32"}
    plan = our_plan(model, planner, settings, frames, goals, planning="mpc")
    head = (
        build(
            HEADS,
            option("head", "inverse_dynamics"),
            "head",
            embedding_dim=cast(Any, model.predictor_projector)[-1].out_features,
            action_dim=ACTION_DIM,
        )
        .eval()
        .to(device)
    )

    @torch.no_grad()
    def act(_: int) -> Tensor:
        return cast(Tensor, head(model.encode(frames[:, None]), z_goal))

    with torch.no_grad():
        z_goal = model.encode(goals[:, None])[:, 0]
    plans: Plans = {
        "planner=icem planning=mpc": lambda _: plan(planner["num_iterations"]),
        "amortized policy, an action block": act,
    }
    return {name: 1e3 * value for name, value in race(plans, 1, repeats, device, progress).items()}
