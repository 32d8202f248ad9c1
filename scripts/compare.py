"""Compares two evaluations on the same pairs: `lewm compare runs/a runs/b/plan_50`.

Prints both success rates and their paired difference with its 95% interval, and writes it with --out. Evaluations of
other pairs are refused: what separates them may be the pairs.
"""

import argparse
from pathlib import Path

from rich.console import Console

from lewm.errors import one_line_errors
from lewm.evaluation.comparison import compare, comparison_table, read_planning_results
from lewm.files import check_output, write_json


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder with results.json, or that file")
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE", help="writes the differences as JSON")
    args = parser.parse_args(arguments)
    with one_line_errors():
        check_output("--out", args.out)
        first, second = read_planning_results(args.first), read_planning_results(args.second)
        console = Console()
        console.print(comparison_table(first, second))
        for word, path, results in (("first", args.first, first), ("second", args.second, second)):
            identity = results["identity"]
            policy = identity["policy"]["name"] if "policy" in identity else "mpc"
            console.print(f"{word}: {path} ({identity['run']}, step {identity['step']}, policy {policy})")
        if args.out:
            found = {name: difference._asdict() for name, difference in compare(first, second).items()}
            write_json(args.out, {"first": str(args.first), "second": str(args.second), "differences": found})


if __name__ == "__main__":
    main()
