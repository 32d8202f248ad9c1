"""Files that come with the code: beside lewm/ in the repository, inside lewm/ in an installed package."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """Path of a file or folder by its name in the repository, such as "configs" or "scripts/plan.py".

    The package comes first: the folder around an installed package may hold anybody's scripts/ and train.py.
    """
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name


def module_of(program: str) -> str:
    """Dotted name to import a program by: "scripts/plan.py" -> "scripts.plan", or "lewm.scripts.plan" if installed."""
    module = program.removesuffix(".py").replace("/", ".")
    return f"{PACKAGE.name}.{module}" if (PACKAGE / program).exists() else module


def start_of(program: str) -> tuple[str, ...]:
    """Words that start a program, to append to `python` or `accelerate launch`: its file, or -m and its module.

    A file inside the package would put the package's own folder on sys.path, where its modules hide others.
    """
    return ("-m", module_of(program)) if (PACKAGE / program).exists() else (str(shipped(program)),)
