"""What all parts of a model ask of their sizes."""


def check_sizes(**sizes: int) -> None:
    """ValueError: one of them is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size} must be at least 1")
