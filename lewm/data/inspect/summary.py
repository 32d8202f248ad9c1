"""Summary of a dataset, as tables."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from lewm.data.episodes import Episodes

ROWS = 65_536
"""Rows of an array that are looked at together."""


def summary_tables(data: Episodes) -> Iterator[Table]:
    """Everything in a few tables: the dataset, its actions, its states."""
    yield _pairs(_general(data))
    low, high = data.metadata.action_low, data.metadata.action_high
    names = data.metadata.collection.get("imported_from", {}).get("action_names")
    names = names or [f"action {i}" for i in range(data.actions.shape[1])]
    yield _numbers("actions", names, data.actions, {"low": low, "high": high})
    if data.metadata.state_names:
        yield _numbers("states", data.metadata.state_names, data.states, {})


def _general(data: Episodes) -> dict[str, str]:
    lengths, metadata = data.lengths, data.metadata
    _, height, width, channels = data.pixels.shape
    size = sum(path.stat().st_size for path in data.path.iterdir())
    values = {
        "path": str(data.path),
        "environment": metadata.env_id,
        "environment's arguments": _inline(metadata.env_kwargs),
        "angles": ", ".join(metadata.angles) or "none",
        "velocities": ", ".join(metadata.velocities) or "none",
        "episodes": f"{len(data):,}",
        "frames": f"{len(data.pixels):,} of {height} x {width} x {channels}",
        "actions in an episode": f"{lengths.min()} to {lengths.max()}, median {np.median(lengths):g}",
        "bytes": f"{size:,}",
        "content hash": data.content_hash,
    }
    return values | {key: _inline(value) for key, value in metadata.collection.items()}


def _inline(value: Any) -> str:
    """A nested value on one line, long lists cut."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inline(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        shown = ", ".join(_inline(inner) for inner in value[:8])
        return shown + (f", … ({len(value)})" if len(value) > 8 else "")
    return str(value)


def _pairs(values: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in values.items():
        table.add_row(key, value)
    return table


def _numbers(title: str, names: list[str], array: NDArray[Any], bounds: dict[str, list[float]]) -> Table:
    """min, mean, std and max of each column, beside the bounds that it has."""
    table = Table(title=title, box=box.SIMPLE, show_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    for header in ("", "min", "mean", "std", "max", *bounds):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    columns = np.stack(statistics(array), 1)
    for i, name in enumerate(names):
        cells = [f"{value:.4g}" for value in columns[i]]
        table.add_row(name, *cells, *(f"{bound[i]:.4g}" for bound in bounds.values()))
    return table


def statistics(array: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """(N, dim) -> (dim,) each of min, mean, std, max; reads a part of the array at a time."""
    shift = array[:ROWS].mean(0, dtype=np.float64)  # keeps the sum of squares from losing its digits
    low, high = np.full(array.shape[1], np.inf), np.full(array.shape[1], -np.inf)
    total, squares = np.zeros(array.shape[1]), np.zeros(array.shape[1])
    for i in range(0, len(array), ROWS):
        rows = array[i : i + ROWS].astype(np.float64)
        low, high = np.minimum(low, rows.min(0)), np.maximum(high, rows.max(0))
        total += (rows - shift).sum(0)
        squares += ((rows - shift) ** 2).sum(0)
    mean = total / len(array)
    return low, mean + shift, np.sqrt(np.maximum(squares / len(array) - mean**2, 0)), high
