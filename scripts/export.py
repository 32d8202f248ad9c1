"""Exports a run for use without this package: `lewm export runs/my_run exported/my_run --to onnx`.

The folder gets the encoder, the predictor, one iteration of the search, the proposal of an actor or head where the run
plans with one, and export.json. Frames and actions are raw. Each file is run beside the model that it is of.
"""

import argparse
from pathlib import Path

from rich.console import Console

from lewm.deployment import TARGETS, export
from lewm.errors import InputError, one_line_errors
from lewm.files import whole_folder
from lewm.run import Run
from lewm.tracking import progress_bar


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run or checkpoint folder")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--to", choices=tuple(TARGETS), default="onnx", help="format (%(default)s)")
    parser.add_argument("--planner", help="a file of configs/planner; the run's own without it")
    parser.add_argument("--planning", help="a file of configs/planning; the run's own without it")
    args = parser.parse_args(arguments)
    console = Console()
    with one_line_errors():
        if args.out.exists():
            raise InputError(f"{args.out} exists already: remove it, or give another folder")
        run = Run.open(args.run)
        agent = run.agent(planner=args.planner, planning=args.planning, precision="float32")
        heads = {name: run.heads[name] for name in run.heads.used()}
        with whole_folder(args.out) as folder, progress_bar(console) as progress:
            differences = export(agent, run.spec, heads, args.to, folder, progress)
    for name, difference in differences.items():
        console.print(f"{name}: differs by {difference:.1e} of its largest number", highlight=False)
    console.print(f"{args.to}: {args.out}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
