"""Output on terminals and in log files that are not UTF-8: characters that they lack have a plain spelling."""

import codecs
import io
import sys

PLAIN = {"…": "...", "→": "->", "±": "+-", "×": "x", "²": "^2", "▲": "^", "▼": "v", "–": "-", "—": "-"}  # noqa: RUF001
"""Spelling of characters that programs print."""

_NAME = "lewm_plain"


def print_plainly() -> None:
    """Lets stdout and stderr spell what their encoding lacks: those of PLAIN so, others as Python's \\N escapes."""
    codecs.register_error(_NAME, _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _spell(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    spelled = (PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode("ascii") for letter in missing)
    return "".join(spelled), error.end
