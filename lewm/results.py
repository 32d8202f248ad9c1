"""Reader of results.json, the file that an evaluation leaves behind."""

import json
import math
from pathlib import Path
from typing import Any

from lewm.errors import InputError

OF_PLANNING = ("protocol", "source", "model", "baselines", "already_solved", "planning", "pairs")
"""Keys of results.json that an evaluation by planning has all of, and recordings without an environment none."""


def read_results(path: Path) -> dict[str, Any]:
    """Reads results.json, with nan for each rate and measure that is null there.

    Args:
      path: the file, or the folder of an evaluation.

    Raises:
      InputError: there is no such file, or it is damaged.
    """
    file = path / "results.json" if path.is_dir() else path
    remedy = "give the folder of an evaluation"
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no readable results.json ({error}): {remedy}") from None
    if not isinstance(results, dict) or not isinstance(results.get("identity"), dict):
        raise InputError(f"{file} names no model, so that it is no results.json: {remedy}")
    missing = [key for key in OF_PLANNING if key not in results]
    if 0 < len(missing) < len(OF_PLANNING):
        raise InputError(f"{file} has no {missing[0]}, so that it is no whole results.json: {remedy}")
    for key in ("model", "baselines", "diagnostics", "planning"):
        if results.get(key) is not None:
            results[key] = _with_nan(results[key])
    for pair in results.get("pairs", ()):
        pair |= {key: math.nan for key in ("final_distance",) if key in pair and pair[key] is None}
    return results


def _with_nan(values: Any) -> Any:
    """Values of nested dicts, with nan for None."""
    if isinstance(values, dict):
        return {key: _with_nan(value) for key, value in values.items()}
    return math.nan if values is None else values
