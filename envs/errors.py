"""Refused arguments and missing packages, as Gymnasium's own errors: whoever makes an environment can tell them from
mistakes in its code.
"""

from typing import Any

import gymnasium as gym


class ArgumentError(gym.error.Error, ValueError):
    """A value that an environment or an expert does not take, in one line."""


class DependencyError(gym.error.DependencyNotInstalled, ImportError):
    """A package or a library of the system is missing, or does not work here, in one line."""


def check_number(name: str, value: Any, low: float, high: float = float("inf")) -> None:
    """ArgumentError: `value` is not a finite number between `low` and `high`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and low <= value <= high and value < float("inf")):
        bounds = f"at least {low}" + (f" and at most {high}" if high < float("inf") else "")
        raise ArgumentError(f"{name}={value!r} must be a number, {bounds}")
