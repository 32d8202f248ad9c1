"""Check of sizes that all parts of a model share."""

from lewm.errors import InputError


def check_sizes(**sizes: int) -> None:
    """Raises InputError if a size is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name}={size} must be at least 1")
