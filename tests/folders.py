"""What lies in a folder."""


def contents(folder):
    """The bytes of each file below it, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
