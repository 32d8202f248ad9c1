"""Summary of a dataset, as tables: what it is, its actions and states, and how they change from step to step."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from lewm.data.episodes import Episodes
from lewm.data.metadata import Metadata

ROWS = 65_536
"""Rows of an array that are looked at together."""
WINDOW = 25
"""Steps of a window, those from start to goal of an evaluation."""
MOST_WINDOWS = 100_000
"""Windows whose ends are looked at; of more, evenly spaced ones."""
STAYS, STAYS_ANGLE = 0.01, np.pi / 180
"""What stays changes by less: a share of the standard deviation, and radians of an angle."""


def summary_tables(data: Episodes) -> Iterator[Table]:
    """Everything in a few tables: the dataset, its actions, its states."""
    yield _pairs(_general(data))
    low, high = data.metadata.action_low, data.metadata.action_high
    change = np.median(np.abs(_action_changes(data)), 0).tolist()
    yield _numbers(
        "actions", data.metadata.action_names, data.actions, {"low": low, "high": high, "median change a step": change}
    )
    if data.metadata.state_names:
        yield _numbers("states", data.metadata.state_names, data.states, {})
        yield _movements_table(data)


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


def _action_changes(data: Episodes) -> NDArray[np.float32]:
    """(N, a) differences between actions and those before them in their episodes; 0 where there are none."""
    episodes, steps = _places(data, room=2)
    if len(episodes) == 0:
        return np.zeros((1, data.actions.shape[1]), np.float32)
    rows = data.index.action_rows(episodes, steps)
    changes: NDArray[np.float32] = data.actions[rows + 1] - data.actions[rows]
    return changes


def _places(data: Episodes, room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Episodes and steps that `room` actions follow: all, or MOST_WINDOWS evenly spaced ones."""
    episodes, steps = data.index.places(np.arange(len(data)), room)
    chosen = np.arange(len(steps))
    if len(steps) > MOST_WINDOWS:
        chosen = np.linspace(0, len(steps) - 1, MOST_WINDOWS).astype(np.int64)
    return episodes[chosen], steps[chosen]


def _movements_table(data: Episodes) -> Table:
    """Medians of the movements in a step and in a window, and the share of windows in which each place stays."""
    title = "movements: medians, and the share of windows in which it stays"
    table = Table(title=title, box=box.SIMPLE, show_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    for header in ("", "a step", f"{WINDOW} steps", f"stays {WINDOW} steps"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    in_step, in_window, stays = movements(data, 1)[0], *movements(data, WINDOW)
    for name, step in in_step.items():
        cells = [f"{np.median(step):.4g}"]
        cells += (
            [f"{np.median(in_window[name]):.4g}", f"{stays[name].mean():.1%}"] if len(in_window[name]) else ["-"] * 2
        )
        table.add_row(name, *cells)
    if in_step and len(together := np.logical_and.reduce(list(stays.values()))):
        table.add_row("all together", "", "", f"{together.mean():.1%}")
    return table


def movements(data: Episodes, steps: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]:
    """How far places come in this many steps, by name, and whether they stay.

    State numbers whose names differ in a last _x, _y or _z alone are one place, and come as far as the Euclidean
    distance. Angles take the shorter way round. Velocities are left out.

    Args:
      data: the dataset.
      steps: from the first frame of a window to the last.

    Returns:
      (W,) distances of each place in the W windows, and (W,) whether it stays: see STAYS.
    """
    metadata = data.metadata
    rows = data.index.frame_rows(*_places(data, steps))
    before, after = data.states[rows], data.states[rows + steps]
    spread = statistics(data.states)[2]
    far, stays = {}, {}
    for place, columns in _places_of(metadata).items():
        change = after[:, columns] - before[:, columns]
        limit = STAYS * float(np.linalg.norm(spread[columns]))
        if metadata.state_names[columns[0]] in metadata.angles:
            change, limit = (change + np.pi) % (2 * np.pi) - np.pi, STAYS_ANGLE
        far[place] = np.linalg.norm(change, axis=1)
        stays[place] = far[place] <= limit
    return far, stays


def _places_of(metadata: Metadata) -> dict[str, list[int]]:
    """Columns of the state numbers that are one place, by its name."""
    places: dict[str, list[int]] = {}
    for column, name in enumerate(metadata.state_names):
        if name not in metadata.velocities:
            place = name if name in metadata.angles else re.sub(r"_[xyz]$", "", name)
            places.setdefault(place, []).append(column)
    return places


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
