"""Times a plan beside LeWM's of stable-worldmodel: `python scripts/benchmarks/planning.py --json table.json`.

One plan: encode the current frame and the goal, then the cross-entropy method with LeWM's numbers, in LeWM's model with
random weights, the same in all. The contenders plan in turn; medians of --repeats. Beside it: whether cached and plain
rollout agree, the time of each part, what the hardware allows, and what smaller planners cost.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lewm.config import CONFIGS, ModelConfig, from_dict
from lewm.distributed import use_all_cores
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.provenance import describe_process
from lewm.tracking import progress_bar
from scripts.benchmarks import planning_parts as parts
from scripts.benchmarks import planning_peer as peer
from scripts.benchmarks.measuring import machine

OURS, OURS_BFLOAT16 = "ours", "ours, bfloat16"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300, help="candidates of an iteration (%(default)s)")
    parser.add_argument("--elites", type=int, default=30, help="(%(default)s)")
    parser.add_argument("--iterations", type=int, default=30, help="(%(default)s)")
    parser.add_argument("--horizon", type=int, default=5, help="model steps (%(default)s)")
    parser.add_argument("--num-envs", type=int, default=1, help="episodes planned at once (%(default)s)")
    parser.add_argument("--model", default="paper", help="a file of configs/model (%(default)s)")
    parser.add_argument("--frame-size", type=int, default=224, help="(%(default)s)")
    parser.add_argument("--batch-size", type=int, help="sequences imagined at once; without it what suits the device")
    parser.add_argument("--repeats", type=int, default=5, help="plans behind a median (%(default)s)")
    parser.add_argument("--threads", type=int, help="of torch; all cores without it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        check(args)
        use_all_cores(args.threads, num_local_ranks=1)
        console = Console()
        with progress_bar(console) as progress:
            results = measure(args, progress)
        show(results, args, console)
        if args.json:
            results |= {
                **describe_process(),
                "machine": machine(args.device),
                "arguments": vars(args) | {"json": str(args.json)},
            }
            write_json(args.json, results)


def check(args: argparse.Namespace) -> None:
    for name in ("samples", "elites", "iterations", "horizon", "num_envs", "repeats"):
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)} must be at least 1")
    if args.elites > args.samples:
        raise InputError(f"--elites {args.elites} must be at most --samples {args.samples}")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU; give --device cpu")
    if not (CONFIGS / "model" / f"{args.model}.yaml").is_file():
        raise InputError(f"--model {args.model} is no file of configs/model")
    check_output("--json", args.json)


def measure(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    config: ModelConfig = from_dict(parts.option("model", args.model), ModelConfig)
    device = torch.device(args.device)
    model = parts.random_model(config, args.frame_size).to(device)
    size = (args.num_envs, 3, args.frame_size, args.frame_size)
    frames, goals = (torch.randint(0, 256, size, dtype=torch.uint8, device=device) for _ in range(2))
    numbers = {"num_samples": args.samples, "num_elites": args.elites}
    planner = parts.option("planner", "cem_paper") | numbers
    plans: parts.Plans = {}
    for name, precision in ((OURS, "float32"), (OURS_BFLOAT16, "bfloat16")):
        settings = {"horizon": args.horizon, "batch_size": args.batch_size, "precision": precision, "num_executed": 1}
        plans[name] = parts.our_plan(model, planner, settings, frames, goals)
    theirs = None
    if peer.is_installed() and args.model == "paper":
        with torch.no_grad():
            their_model = peer.their_model(model, config, parts.ACTION_DIM)
        theirs = peer.TheirPlanner(
            their_model, args.samples, args.elites, args.horizon, parts.ACTION_DIM, args.num_envs
        )
        planner_of_theirs = theirs
        plans[peer.NAME] = lambda iterations: planner_of_theirs.plan(frames, goals, iterations)
    seconds = parts.race(plans, args.iterations, args.repeats, device, progress)
    mpc = parts.make_mpc(
        model,
        planner,
        {"horizon": args.horizon, "batch_size": args.batch_size, "num_executed": 1, "precision": "float32"},
    )
    return {
        "plan_ms": {name: 1e3 * value / args.num_envs for name, value in seconds.items()},
        "peer_installed": peer.is_installed(),
        "agreement": parts.agreement(mpc, model, frames, goals, args.samples, theirs),
        "parts_ms": parts.parts(mpc, model, frames, goals, args, device, progress),
        "floor": parts.floor(mpc, model, frames, goals, args, device),
        "smaller_ms": parts.smaller(model, frames[:1], goals[:1], args.repeats, device, progress),
    }


def show(results: dict[str, Any], args: argparse.Namespace, console: Console) -> None:
    title = f"A plan: {args.samples} samples, {args.iterations} iterations, horizon {args.horizon}, {args.model} model"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("", "ms per plan and episode", "times faster"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    slowest = results["plan_ms"].get(peer.NAME)
    for name, value in results["plan_ms"].items():
        table.add_row(name, f"{value:,.1f}", f"{slowest / value:.2f}" if slowest else "")
    for name, value in (results["parts_ms"] | results["smaller_ms"]).items():
        table.add_row(name, f"{value:,.2f}", "")
    console.print(table)
    agrees, floor_ms = results["agreement"], results["floor"]
    console.print(f"cached and plain rollout differ by at most {agrees['embeddings_of_plain_rollout']:.1e}")
    if "relative_cost_of_peer" in agrees:
        console.print(
            f"costs differ from those of {peer.NAME} by at most {agrees['relative_cost_of_peer']:.1e} of them"
        )
    elif not results["peer_installed"]:
        console.print(f"{peer.NAME} is not installed here: it was not measured", soft_wrap=True)
    rollout_ms = results["parts_ms"]["an iteration's rollout"]
    least = max(floor_ms["operations_ms"], floor_ms["bytes_ms"])
    console.print(
        f"floor of a rollout: {floor_ms['gflop']:.0f} GFLOP ({floor_ms['gflop_plain']:.0f} plain) at the"
        f" {floor_ms['gflop_per_s']:,.0f} GFLOP/s of a large matrix product: {floor_ms['operations_ms']:.3g} ms;"
        f" {floor_ms['megabytes']:.0f} MB read once: {floor_ms['bytes_ms']:.3g} ms; it takes"
        f" {rollout_ms / least:.2f} times as long",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
