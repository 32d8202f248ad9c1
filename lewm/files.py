"""Files and folders that appear whole or not at all, their hashes, and locks."""

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from lewm.errors import InputError, one_line

NO_LOCKS = frozenset([errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
"""Errors of locking on file systems that have no locks: Lustre and NFS, as they may be mounted."""


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that is written under a temporary name beside `path` and renamed at the end of the block.

    What stood at `path` before stays on any error, a full disk included.

    Args:
      path: path of the file.
      mode: "w" for text, "wb" for bytes.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        encoding, errors = (None, None) if "b" in mode else ("utf-8", "surrogateescape")  # paths may be any bytes
        with partial.open(mode, encoding=encoding, errors=errors) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text)


def write_json(path: Path, values: Any) -> None:
    """Writes values as JSON that every reader takes, whole or not at all. NaN and infinite numbers become null."""
    write_text(path, json.dumps(without_nan(values), indent=2, allow_nan=False) + "\n")


def read_versioned(path: Path, kind: str, format: str, version: int, remedy: str = "") -> dict[str, Any]:
    """Reads a JSON file that states its format and version.

    Args:
      path: path of the file.
      kind: what it describes, as in "a dataset".
      format, version: values that its "format" and "version" must have.
      remedy: what to do about a file that cannot be read, if the caller does not say so.

    Raises:
      InputError: the file is missing, damaged, something else, or of another version.
    """
    advice = f": {remedy}" if remedy else ""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is missing or damaged ({error}){advice}") from None
    if not isinstance(values, dict) or values.get("format") != format:
        raise InputError(f"{path} is not {kind} of format {format}{advice}")
    if values.get("version") != version:
        raise InputError(
            f"{path} is {kind} of version {values.get('version')!r:.20} of the format {format}, and this program reads"
            f" version {version}{advice}"
        )
    return values


def check_output(option: str, path: Path | None) -> None:
    """Checks an output file before the work that it is for; None asks for none. InputError: its folder is missing."""
    if path and not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}")


def check_links(path: Path) -> None:
    """Refuses a path that leads through a link to nothing, such as a disk that is not mounted, before it is written."""
    for each in (path, *path.parents):
        if each.is_symlink() and not each.exists():
            raise InputError(f"{each} is a link to {each.readlink()}, which is not there: mount it, or remove the link")


def without_nan(values: Any) -> Any:
    """Nested dicts and sequences with None for every float that is NaN or infinite: JSON has no such numbers."""
    if isinstance(values, dict):
        return {key: without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_nan(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder `<path>.partial` that is renamed to `path` at the end of the block, in the place of a former one.

    Every file in it is on the disk before it is renamed. On any error the partial folder is removed and `path` stays.
    """
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Makes the run folder and keeps other processes from writing into it; a killed process lets go by itself.

    On a file system without locks there is one note for all, and nothing is kept from anybody.
    """
    check_links(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is writing {run_dir}: wait for it, end it, or give another name="
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            _note_no_locks(one_line(error))
        yield


@cache
def _note_no_locks(reason: str) -> None:
    print(f"note: this file system has no locks ({reason}): start no second program that writes here", file=sys.stderr)
