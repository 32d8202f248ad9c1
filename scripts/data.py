"""Looks at datasets and makes others of them: `lewm data info data/two_room`.

info      what is in a dataset                  validate  what is wrong with it; exit code 1 if anything is
preview   a contact sheet and a video           convert   from and to other formats, and to other frame sizes
merge     several datasets into one             split     one into two, by episode
`lewm data convert --help` tells the options of one command.
"""

import argparse
import inspect
from functools import partial
from pathlib import Path

from rich.console import Console

from lewm.data.convert.editing import NativeSource, copy, merge, split
from lewm.data.convert.exporters import EXPORTERS
from lewm.data.convert.importers import IMPORTERS, Source
from lewm.data.convert.resizing import FITS, Resize
from lewm.data.episodes import Episodes
from lewm.data.inspect.preview import contact_sheet, film
from lewm.data.inspect.summary import summary_tables
from lewm.data.inspect.validation import KINDS, find_faults
from lewm.errors import InputError, one_line_errors
from lewm.tracking import progress_bar

IMPORT_OPTIONS = {
    "env_id": "the environment that the data are from, as envs:lewm/TwoRoom-v0: gives bounds and state names",
    "camera": "lerobot, minari, robomimic: which of several cameras; hdf5: the column of the frames",
    "states": "lerobot, hdf5: the feature or column of the states, or none; minari, robomimic: observations, a,b"
    " (all vectors of numbers), or none; diffusion_policy: none",
    "action_columns": "video_folder: names of the actions in the CSV, a,b,c (those that begin with action)",
    "state_columns": "video_folder: names of the states in the CSV, or none (those that begin with state)",
    "action": "lerobot: the feature of the actions (action)",
}
IMPORT_FLAGS = {
    "render": "diffusion_policy: frames are drawn anew from the states, by --env-id in --frame-size",
    "skip": "episodes that cannot be read are left out, counted and named",
}


def main(arguments: list[str] | None = None) -> None:
    args = parser().parse_args(arguments)
    with one_line_errors():
        args.run(args, Console())


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = whole.add_subparsers(required=True, metavar="command")

    one = commands.add_parser("info", help="what is in a dataset")
    one.add_argument("path", type=Path)
    one.set_defaults(run=run_info)

    one = commands.add_parser("validate", help="what is wrong with a dataset; exit code 1 if anything is")
    one.add_argument("path", type=Path)
    one.add_argument("--replay", type=int, default=8, metavar="N", help="episodes to play again (%(default)s)")
    one.add_argument("--show", type=int, default=10, metavar="N", help="faults to list of a kind (%(default)s)")
    one.set_defaults(run=run_validate)

    one = commands.add_parser("preview", help="a contact sheet and a video of some episodes")
    one.add_argument("path", type=Path)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--episodes", type=int, default=8, metavar="N", help="how many, evenly spaced (%(default)s)")
    one.add_argument("--frames", type=int, default=10, metavar="N", help="of each on the sheet (%(default)s)")
    one.set_defaults(run=run_preview)

    one = commands.add_parser("convert", help="from and to other formats, and to other frame sizes")
    one.add_argument("source", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--from", dest="source_format", choices=("native", *IMPORTERS), default="native")
    one.add_argument("--to", dest="out_format", choices=tuple(EXPORTERS), default="native")
    one.add_argument("--frame-size", type=int, help="of the new frames; the old ones are kept without it")
    one.add_argument("--fit", choices=FITS, help="how frames that are not square become square")
    for name, text in IMPORT_OPTIONS.items():
        one.add_argument(f"--{name.replace('_', '-')}", help=text)
    for name, text in IMPORT_FLAGS.items():
        one.add_argument(f"--{name}", action="store_true", default=None, help=text)
    one.add_argument(
        "--angles", metavar="NAMES", help="state numbers that are angles in radians, a,b (the environment's)"
    )
    one.add_argument("--velocities", metavar="NAMES", help="state numbers that are velocities, a,b (the environment's)")
    one.set_defaults(run=run_convert)

    one = commands.add_parser("merge", help="several datasets into one")
    one.add_argument("out", type=Path)
    one.add_argument("paths", type=Path, nargs="+")
    one.set_defaults(run=run_merge)

    one = commands.add_parser("split", help="one dataset into two, by episode")
    one.add_argument("path", type=Path)
    one.add_argument("out_a", type=Path)
    one.add_argument("out_b", type=Path)
    one.add_argument("--fraction", type=float, default=0.9, help="share of the episodes in the first (%(default)s)")
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(run=run_split)
    return whole


def run_info(args: argparse.Namespace, console: Console) -> None:
    for table in summary_tables(Episodes(args.path)):
        console.print(table)


def run_validate(args: argparse.Namespace, console: Console) -> None:
    with progress_bar(console) as progress:
        report = find_faults(args.path, args.replay, progress)
    for note in report.notes:
        console.print(note, soft_wrap=True, highlight=False)
    for kind in KINDS:
        faults = [fault for fault in report.faults if fault.kind == kind]
        for fault in faults[: args.show]:
            console.print(f"{kind}: {fault.message}", soft_wrap=True, highlight=False, markup=False)
        if len(faults) > args.show:
            console.print(f"{kind}: and {len(faults) - args.show} more of these (--show N lists N)", soft_wrap=True)
    if report.faults:
        console.print(f"{args.path}: {len(report.faults)} faults", soft_wrap=True, highlight=False)
        raise SystemExit(1)
    console.print(f"{args.path}: nothing is wrong with it", soft_wrap=True, highlight=False)


def run_preview(args: argparse.Namespace, console: Console) -> None:
    data = Episodes(args.path)
    if args.episodes < 1 or args.frames < 2:
        raise InputError(f"--episodes {args.episodes} must be at least 1 and --frames {args.frames} at least 2")
    args.out.mkdir(parents=True, exist_ok=True)
    sheet, video = args.out / "sheet.png", args.out / "episodes.mp4"
    contact_sheet(data, sheet, args.episodes, args.frames)
    film(data, video, args.episodes)
    console.print(f"{sheet}\n{video}", soft_wrap=True, highlight=False)


def run_convert(args: argparse.Namespace, console: Console) -> None:
    if args.out.exists():
        raise InputError(f"{args.out} exists already: remove it, or give another output")
    source = open_source(args)
    metadata = source.metadata.declaring(args.angles, args.velocities)
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    num_notes = len(source.notes)
    for note in source.notes:
        say(note)
    with progress_bar(console) as progress, EXPORTERS[args.out_format](args.out, metadata) as writer:
        copied = copy(source, writer, progress, "converting")
    for note in source.notes[num_notes:]:
        say(note)
    for dim, highest in copied.choices.items():
        say(
            f"{metadata.action_names[dim]} is a whole number from 0 to {highest}: it looks like a discrete choice, and"
            " is taken as one continuous dimension; if its numbers have no order, give each its own column of 0 and 1"
        )
    say(f"{copied.num_episodes:,} episodes: {args.out}")


def open_source(args: argparse.Namespace) -> Source:
    resize = Resize(args.frame_size, args.fit)
    asked = {name: getattr(args, name) for name in (*IMPORT_OPTIONS, *IMPORT_FLAGS)}
    options = {name: value for name, value in asked.items() if value is not None}
    importer = IMPORTERS.get(args.source_format)
    known = inspect.signature(importer).parameters if importer else {}
    if unknown := options.keys() - set(known):
        raise InputError(f"--{min(unknown).replace('_', '-')} has no meaning with --from {args.source_format}")
    return importer(args.source, resize, **options) if importer else NativeSource(Episodes(args.source), resize=resize)


def run_merge(args: argparse.Namespace, console: Console) -> None:
    with progress_bar(console) as progress:
        merge(args.paths, args.out, progress)
    console.print(f"{len(Episodes(args.out)):,} episodes: {args.out}", soft_wrap=True, highlight=False)


def run_split(args: argparse.Namespace, console: Console) -> None:
    with progress_bar(console) as progress:
        split(args.path, args.out_a, args.out_b, args.fraction, args.seed, progress)
    for out in (args.out_a, args.out_b):
        console.print(f"{len(Episodes(out)):,} episodes: {out}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
