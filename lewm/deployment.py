"""Export of a trained model to torch.export and ONNX: frames and raw actions in and out, without this package."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.export import Dim

from lewm.agent import Agent
from lewm.data.normalize import ActionNormalizer, pack_actions, unpack_actions
from lewm.errors import InputError
from lewm.files import write_json
from lewm.models import JEPA
from lewm.planning.candidates import candidates_around, cheaper, cheapest, clip, evaluate, fit, nothing_yet
from lewm.planning.costs import GoalCost
from lewm.planning.proposal import Proposal
from lewm.planning.search import EliteSearch
from lewm.provenance import describe_process
from lewm.training.model_spec import ModelSpec

TARGETS = {"torch": ".pt2", "onnx": ".onnx"}
"""Format -> ending of its files."""

DESCRIPTION = "export.json"


class ActionUnits(nn.Module):
    """Raw actions to and from normalized action blocks.

    Args:
      normalizer: action statistics.
      frameskip: K, env steps in a model step.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, normalizer: ActionNormalizer, frameskip: int) -> None:
        super().__init__()
        self.frameskip = frameskip
        self.register_buffer("mean", torch.tensor(normalizer.mean))
        self.register_buffer("std", torch.tensor(normalizer.std))

    def blocks(self, actions: Tensor) -> Tensor:
        """(..., n x K, a) raw -> (..., n, A) normalized."""
        return pack_actions((actions - self.mean) / self.std, self.frameskip)

    def raw(self, blocks: Tensor) -> Tensor:
        """(..., n, A) normalized -> (..., n x K, a) raw."""
        return unpack_actions(blocks, self.frameskip) * self.std + self.mean

    def scale(self, std: Tensor) -> Tensor:
        """(..., n x K, a) standard deviations of raw actions -> (..., n, A) of normalized ones."""
        return pack_actions(std / self.std, self.frameskip)

    def raw_scale(self, std: Tensor) -> Tensor:
        """The inverse of scale()."""
        return unpack_actions(std, self.frameskip) * self.std


class EncoderPart(nn.Module):
    """Encoder of frames."""

    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        """(B, h, w, C) uint8 -> (B, D) embeddings."""
        return self.model.encode(frames.movedim(-1, 1)[:, None])[:, 0].float()


class PredictorPart(nn.Module):
    """Predictor of the next embedding."""

    def __init__(self, model: JEPA, units: ActionUnits) -> None:
        super().__init__()
        self.model, self.units = model, units

    def forward(self, z: Tensor, actions: Tensor) -> Tensor:
        """(B, T, D) embeddings, (B, T x K, a) raw actions that leave them -> (B, D) the next embedding."""
        return self.model.rollout(z, self.units.blocks(actions), z.shape[1])[:, 0].float()


class SearchPart(nn.Module):
    """One iteration of the cross-entropy method.

    Args:
      model: world model.
      units: units of the actions.
      search: bounds, number of elites and least standard deviation.
      goal_cost: cost of imagined embeddings.
      window: most embeddings that a prediction sees.
      subgoal: share of the straight latent way to the goal at which the search aims.
      heads: heads that the goal cost asks.
    """

    def __init__(
        self,
        model: JEPA,
        units: ActionUnits,
        search: EliteSearch,
        goal_cost: GoalCost,
        window: int,
        subgoal: float,
        heads: nn.ModuleList,
    ) -> None:
        super().__init__()
        self.model, self.units, self.heads, self.search = model, units, heads, search
        self.goal_cost, self.window, self.subgoal = goal_cost, window, subgoal

    def forward(
        self, z: Tensor, past_actions: Tensor, z_goal: Tensor, mean: Tensor, std: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draws candidates around a mean, imagines them, and fits mean and standard deviation to the cheapest.

        Args:
          z: (B, T, D) embeddings of the last frames.
          past_actions: (B, (T-1) x K, a) raw actions between them.
          z_goal: (B, D) embeddings of the goals.
          mean, std: (B, H x K, a) of the candidates, in raw units.
          noise: (B, N-1, H x K, a) noise of standard deviation 1.

        Returns:
          (B, H x K, a) mean and standard deviation for the next iteration, (B, H x K, a) the cheapest candidate and its
          (B,) cost.
        """
        low, high, past = self.search.low, self.search.high, self.units.blocks(past_actions)
        mean, std = clip(self.units.blocks(mean), low, high), self.units.scale(std)
        candidates = candidates_around(mean, std, pack_actions(noise, self.units.frameskip), low, high)
        z_goal = torch.lerp(z[:, -1], z_goal, self.subgoal)
        costs = evaluate(lambda each: self.goal_cost(self._imagine(z, past, each), z_goal, each), candidates)
        best = cheaper(nothing_yet(mean), costs, candidates)
        mean, std = fit(*cheapest(costs, candidates, self.search.num_elites), mean, std)
        std = std.clamp(min=self.search.min_std)
        return self.units.raw(mean), self.units.raw_scale(std), self.units.raw(best.actions), best.cost

    def _imagine(self, z: Tensor, past: Tensor, candidates: Tensor) -> Tensor:
        """(B, T, D), (B, T-1, A), (B, N, H, A) -> (B, N, H, D)."""
        num = candidates.shape[1]
        z, past = (each[:, None].expand(-1, num, -1, -1).flatten(0, 1) for each in (z, past))
        actions = torch.cat([past, candidates.flatten(0, 1)], dim=1)
        return self.model.rollout(z, actions, self.window).unflatten(0, (-1, num)).float()


class ProposalPart(nn.Module):
    """Action sequence of an actor or of an inverse-dynamics head.

    Args:
      proposal: proposes action sequences.
      model: world model.
      units: units of the actions.
      horizon: H, number of action blocks.
      subgoal: as in SearchPart.
      heads: heads that the proposal asks.
    """

    def __init__(
        self,
        proposal: Proposal,
        model: JEPA,
        units: ActionUnits,
        horizon: int,
        subgoal: float,
        heads: nn.ModuleList,
    ) -> None:
        super().__init__()
        self.model, self.units, self.heads, self.proposal = model, units, heads, proposal
        self.horizon, self.subgoal = horizon, subgoal

    def forward(self, z: Tensor, past_actions: Tensor, z_goal: Tensor) -> Tensor:
        """(B, T, D), (B, (T-1) x K, a) raw, (B, D) -> (B, H x K, a) raw actions."""
        z_goal = torch.lerp(z[:, -1], z_goal, self.subgoal)
        return self.units.raw(self.proposal(z, self.units.blocks(past_actions), z_goal, self.horizon))


@dataclass(frozen=True)
class Part:
    """A part of a model that goes into one file.

    Attributes:
      name: name of the file, without its ending.
      module: in eval mode, on the CPU.
      inputs: shape of each input by name; a name stands for a size that varies.
      outputs: names of the outputs.
      least: the least of each size that varies, by its name.
    """

    name: str
    module: nn.Module
    inputs: dict[str, tuple[int | str, ...]]
    outputs: tuple[str, ...]
    least: dict[str, int]

    def example(self, size: int) -> tuple[Tensor, ...]:
        """Random inputs, whose sizes that vary are larger than the least by `size` and the next numbers."""
        generator = torch.Generator().manual_seed(size)
        sizes = {name: least + size + i for i, (name, least) in enumerate(self.least.items())}
        shapes = [[sizes[n] if isinstance(n, str) else n for n in shape] for shape in self.inputs.values()]
        if self.name == "encoder":
            return tuple(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for shape in shapes)
        # Positive numbers: one of the inputs is a standard deviation.
        return tuple(torch.rand(shape, generator=generator) for shape in shapes)

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """The dimensions of each input that vary."""
        dims = {name: Dim(name, min=least) for name, least in self.least.items()}
        return tuple({i: dims[n] for i, n in enumerate(shape) if isinstance(n, str)} for shape in self.inputs.values())

    @torch.no_grad()
    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs."""
        found = self.module(*inputs)
        return found if isinstance(found, tuple) else (found,)


def parts_of(agent: Agent, spec: ModelSpec, heads: Mapping[str, nn.Module]) -> Iterator[Part]:
    """The parts of a model and of its planning.

    Args:
      agent: agent on the CPU.
      spec: specification of its model.
      heads: heads that the agent uses.

    Raises:
      InputError: the planner is no search by elites.
    """
    mpc, model = agent.mpc, cast(JEPA, agent.mpc.model)
    units = ActionUnits(spec.normalizer, spec.frameskip)
    used = nn.ModuleList(heads.values())
    size, dim, num_actions = spec.frame_size, spec.model.embedding_dim, len(spec.action_low)
    window, block, any_batch = mpc.rollout.window, spec.frameskip, {"batch": 1}
    yield Part("encoder", EncoderPart(model), {"frames": ("batch", size, size, 3)}, ("z",), any_batch)
    predicted: dict[str, tuple[int | str, ...]] = {
        "z": ("batch", window, dim),
        "actions": ("batch", window * block, num_actions),
    }
    yield Part("predictor", PredictorPart(model, units), predicted, ("z_next",), any_batch)
    proposal, search = (getattr(mpc.planner, name, None) for name in ("proposal", "search"))
    if search is not None and not isinstance(search, EliteSearch):
        raise InputError(f"planner={type(search).__name__} has no elites: give --planner cem")
    plan = ("batch", mpc.horizon * block, num_actions)
    for seen in range(1, mpc.context + 1):
        state: dict[str, tuple[int | str, ...]] = {
            "z": ("batch", seen, dim),
            "past_actions": ("batch", (seen - 1) * block, num_actions),
            "z_goal": ("batch", dim),
        }
        if proposal is not None:
            proposing = ProposalPart(proposal, model, units, mpc.horizon, mpc.subgoal, used)
            yield Part(f"proposal_{seen}", proposing, state, ("actions",), any_batch)
        if search is not None:
            searching = SearchPart(model, units, search, mpc.goal_cost, window, mpc.subgoal, used)
            around = {"mean": plan, "std": plan, "noise": ("batch", "candidates", *plan[1:])}
            least = any_batch | {"candidates": search.num_elites - 1}  # beside the mean
            yield Part(f"search_{seen}", searching, state | around, ("next_mean", "next_std", "actions", "cost"), least)


def export_part(part: Part, target: str, path: Path) -> float:
    """Exports a part, and runs the file beside the part itself, on inputs of other sizes than it was traced with.

    Args:
      part: part of a model.
      target: torch or onnx.
      path: file to write.

    Returns:
      The largest difference of an output, over the largest number of it.

    Raises:
      InputError: the packages for ONNX are missing.
    """
    module, inputs = part.module.eval(), part.example(1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about their own future
        if target == "torch":
            program = torch.export.export(module, inputs, dynamic_shapes=part.dynamic_shapes())
            torch.export.save(program, path)
        else:
            torch.onnx.export(
                module,
                inputs,
                path,
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                dynamic_shapes=part.dynamic_shapes(),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        other = part.example(2)
        pairs = zip(run_file(part, target, path, other), part(other), strict=True)
        return max(float((found - wanted).abs().max() / wanted.abs().max()) for found, wanted in pairs)


def run_file(part: Part, target: str, path: Path, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Outputs of an exported part."""
    if target == "torch":
        found = torch.export.load(path).module()(*inputs)
        return found if isinstance(found, tuple) else (found,)
    session = _onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {name: value.numpy() for name, value in zip(part.inputs, inputs, strict=True)}
    return tuple(map(torch.from_numpy, session.run(None, feed)))


def _onnxruntime() -> Any:
    """The package onnxruntime. InputError: it, or what writes its files, is not installed."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"--to onnx needs {error.name}: install lewm[onnx]") from None
    return onnxruntime


def export(
    agent: Agent, spec: ModelSpec, heads: Mapping[str, nn.Module], target: str, folder: Path, progress: Progress
) -> dict[str, float]:
    """Exports a model and its planning into a folder that exists.

    Args:
      agent: agent on the CPU.
      spec: specification of its model.
      heads: heads that the agent uses.
      target: torch or onnx.
      folder: folder of the files.
      progress: progress that the bar is drawn in.

    Returns:
      The largest relative difference of each part, by its name.

    Raises:
      InputError: the planner is no search by elites, or packages for ONNX are missing.
    """
    if target == "onnx":
        _onnxruntime()
    parts, differences = list(parts_of(agent, spec, heads)), {}
    bar = progress.add_task("exporting", total=len(parts), unit="files")
    for part in parts:
        differences[part.name] = export_part(part, target, folder / f"{part.name}{TARGETS[target]}")
        progress.advance(bar)
    search = getattr(agent.mpc.planner, "search", None)
    write_json(
        folder / DESCRIPTION,
        {
            "parts": {
                part.name: {
                    "file": f"{part.name}{TARGETS[target]}",
                    "inputs": part.inputs,
                    "outputs": part.outputs,
                    "relative_difference": differences[part.name],
                }
                for part in parts
            },
            "frame_size": spec.frame_size,
            "frameskip": spec.frameskip,
            "action_low": spec.action_low,
            "action_high": spec.action_high,
            "first_mean": spec.normalizer.mean,
            "first_std": None if search is None else [search.std * std for std in spec.normalizer.std],
            "num_samples": None if search is None else search.num_samples,
            "num_iterations": None if search is None else search.num_iterations,
            "horizon": agent.mpc.horizon,
            "num_executed": agent.num_executed,
            "env_id": spec.data.env_id,
            **describe_process(),
        },
    )
    return differences
