"""Check of sizes that all parts of a model share."""


def check_sizes(**sizes: int) -> None:
    """Raises ValueError if a size is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size} must be at least 1")
