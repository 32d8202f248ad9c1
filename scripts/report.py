"""Writes report.html again from what an evaluation left: `lewm report runs/my_run runs/my_run/plan`."""

import argparse
from pathlib import Path

from lewm.errors import one_line_errors
from lewm.report.page import save_page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="that holds a results.json")
    args = parser.parse_args(arguments)
    with one_line_errors():
        for folder in args.folder:
            path = save_page(folder)
            print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
