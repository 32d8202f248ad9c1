"""Traces of planning: latent distances, costs, times, and what the model imagined."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lewm.files import whole_file

Floats = NDArray[np.float32]


class Trace(NamedTuple):
    """Of B episodes that were played together; nan where an episode was over.

    Attributes:
      observed_steps: (num_observed,) env steps after which the policy looked.
      z_distance: (B, num_observed) squared distance of what it saw to the goal, between embeddings.
      best_costs: (B, num_plans, num_iterations) lowest cost that a planner had found.
      plan_seconds: (num_plans,) that a plan took, for all episodes together.
      num_planned: (num_plans,) the episodes that it was made for.
      num_encoded: (B,) frames that were encoded, the goal's included.
      first_plan: (B, n, a) raw actions of the first plan.
      imagined_z: (B, H, D) what the model imagined of it.
    """

    observed_steps: NDArray[np.int64]
    z_distance: Floats
    best_costs: Floats
    plan_seconds: NDArray[np.float64]
    num_planned: NDArray[np.int64]
    num_encoded: NDArray[np.int64]
    first_plan: Floats
    imagined_z: Floats

    @classmethod
    def empty(cls, num_episodes: int) -> "Trace":
        """Of a policy that does not plan."""
        return cls(
            observed_steps=np.zeros(0, np.int64),
            z_distance=np.zeros((num_episodes, 0), np.float32),
            best_costs=np.zeros((num_episodes, 0, 0), np.float32),
            plan_seconds=np.zeros(0),
            num_planned=np.zeros(0, np.int64),
            num_encoded=np.zeros(num_episodes, np.int64),
            first_plan=np.zeros((num_episodes, 0, 0), np.float32),
            imagined_z=np.zeros((num_episodes, 0, 0), np.float32),
        )

    @classmethod
    def join(cls, traces: "Sequence[Trace]", order: NDArray[np.int64]) -> "Trace":
        """Those of several batches, whose episodes are put into `order`."""
        one = {name: [getattr(trace, name) for trace in traces] for name in cls._fields}
        joined = {name: padded(arrays)[order] for name, arrays in one.items() if name not in _OF_PLANS}
        return cls(
            **joined,
            observed_steps=max(one["observed_steps"], key=len),
            plan_seconds=np.concatenate(one["plan_seconds"]),
            num_planned=np.concatenate(one["num_planned"]),
        )

    def milliseconds(self) -> NDArray[np.float64]:
        """(number of plans,) milliseconds per plan and episode."""
        return 1000 * self.plan_seconds / np.maximum(self.num_planned, 1)


@runtime_checkable
class Traced(Protocol):
    """A policy that tells of its planning."""

    def trace(self) -> Trace:
        """Of the episodes since its last start()."""
        ...


_OF_PLANS = ("observed_steps", "plan_seconds", "num_planned")


def padded(arrays: Sequence[NDArray]) -> NDArray:
    """Arrays of (B, ...) one after another; further axes of unequal length are filled up with nan."""
    shape = np.max([array.shape[1:] for array in arrays], axis=0)
    filled = [
        np.pad(
            array,
            [(0, 0), *((0, int(long - short)) for long, short in zip(shape, array.shape[1:], strict=True))],
            constant_values=np.nan if array.dtype.kind == "f" else 0,
        )
        for array in arrays
    ]
    return np.concatenate(filled)


def save_arrays(path: Path, arrays: dict[str, NDArray]) -> None:
    """Writes an .npz, whole or not at all."""
    with whole_file(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # that of allow_pickle
