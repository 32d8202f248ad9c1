"""A user's mistakes, and how a program ends on them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A user's mistake or a machine's limit: one line that names the value and the remedy, without a traceback."""


def one_line(error: Exception) -> str:
    """Text of an error without line breaks."""
    return " ".join(str(error).split())


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line and status 1 on an InputError or a failed write, and with 130 on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"error: {error.strerror}{where}: mend it, then run the command again; what is complete is kept")
