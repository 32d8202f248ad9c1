"""Writes a run's model in LeWorldModel's released layout: `lewm export-checkpoint runs/my_run exported/my_run`.

The folder gets weights.pt and config.json, which stable-worldmodel's load_pretrained() reads. Frameskip, action
statistics and bounds have no place in them.
"""

import argparse
from pathlib import Path

from rich.console import Console

from lewm.errors import InputError, one_line_errors
from lewm.files import whole_folder
from lewm.run import Run
from lewm.training.released import write_released


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run or checkpoint folder")
    parser.add_argument("out", type=Path, help="folder to make")
    args = parser.parse_args(arguments)
    with one_line_errors():
        if args.out.exists():
            raise InputError(f"{args.out} exists already: remove it, or give another folder")
        run = Run.open(args.run)
        with whole_folder(args.out) as folder:
            write_released(folder, run.spec, run.model)
    Console().print(f"released layout: {args.out}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
