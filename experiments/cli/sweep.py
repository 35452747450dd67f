"""`ipo sweep`: many runs from a Weights & Biases sweep file, scheduled by its server or by this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipo_prompts.experiments.cli import options
from ipo_prompts.metrics.errors import InputError

if TYPE_CHECKING:
    from ipo_prompts.experiments.compare.sweep_file import Sweep
    from ipo_prompts.experiments.compare.sweep_runs import SweepRun
    from ipo_prompts.experiments.executors.base import Executor

EXAMPLES = options.examples(
    "ipo sweep history --executor pool:2",
    "ipo sweep my-sweep.yaml --count 20",
    "ipo sweep ENTITY/PROJECT/ID",
)
_SWEEP_ID = re.compile(r"[\w.-]+/[\w.-]+/[\w-]+")


def sweep(
    target: Annotated[
        str,
        typer.Argument(
            help="a W&B sweep file, llm, history or seeds, or a sweep to join", metavar="FILE|ENTITY/PROJECT/ID"
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="settings of `ipo optimize` for every run")
    ] = None,
    count: Annotated[int | None, typer.Option(help="most runs; a random search needs it", metavar="N")] = None,
    executor: options.Executor = "here",
    out: Annotated[Path | None, typer.Option(help="where the runs go; default runs/sweep-NAME", metavar="DIR")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be run and what it would cost")] = False,
) -> int:
    """Run a Weights & Biases sweep: with a key its server's agents, without one the same search on this machine."""
    from ipo_prompts.experiments.compare.runner import print_progress, run_all
    from ipo_prompts.experiments.compare.sweep_file import read_sweep
    from ipo_prompts.experiments.compare.sweep_runs import plan_runs, table
    from ipo_prompts.experiments.compare.terminal import print_table
    from ipo_prompts.experiments.executors import make_executor
    from ipo_prompts.experiments.executors.base import Failure
    from ipo_prompts.experiments.run.local_weights import ensure_local_weights

    workers = make_executor(executor)
    if count is not None and count < 1:
        raise InputError(f"--count is {count}; it is how many runs there are at most.")
    if _SWEEP_ID.fullmatch(target) and not Path(target).exists() and not target.endswith((".yaml", ".yml")):
        return _join(target, words or [], count, workers)
    read = read_sweep(Path(target), words or [])
    if _online():
        _check_values(read)
        if dry_run:
            print(f"a {read.method} search over {', '.join(read.swept)} would be created in Weights & Biases")
            return 0
        return _agents(_create(read), count, workers)
    folder = out or Path("runs") / f"sweep-{re.sub(r'[^A-Za-z0-9_.]+', '-', read.name)}"
    planned = plan_runs(read, folder, count)
    if dry_run:
        print(_forecast(planned))
        return 0
    ensure_local_weights(run.config for run in planned)
    outcomes, _ = run_all(planned, [run.finished() for run in planned], workers, print_progress)
    head, rows, mean = table(read, planned, outcomes)
    print_table(head, rows)
    if mean:
        print(f"\n{mean}")
    print(f"runs: {folder}", file=sys.stderr)
    if any(run.config.track == "wandb" for run in planned):
        print(f"logged offline; upload with: wandb sync {folder}/*/wandb/offline-run-*", file=sys.stderr)
    if any(isinstance(outcome, Failure) for outcome in outcomes):
        return 1
    return 3 if any(outcome and not isinstance(outcome, Failure) and outcome.stopped for outcome in outcomes) else 0


def _online() -> bool:
    from ipo_prompts.experiments.run.tracking import has_key

    return has_key() and os.environ.get("WANDB_MODE", "online") == "online"


def _check_values(sweep: Sweep) -> None:
    """Check each value that a server could hand out, alone, before there is a sweep that would fail run by run."""
    from ipo_prompts.experiments.compare.sweep_file import configure

    for name, how in sweep.parameters.items():
        for value in how.get("values", [how[end] for end in ("value", "min", "max") if end in how]):
            configure(sweep, {name: value})


def _create(sweep: Sweep) -> str:
    """Register the sweep with the server; return ENTITY/PROJECT/ID.

    Raises:
        InputError: the server cannot be reached or refuses, or the sweep holds a secret.
    """
    import wandb

    from ipo_prompts.experiments.run.tracking import PROJECT
    from ipo_prompts.programs.record.redaction import redact, redacted

    # The server keeps a sweep's command and values, and hands them to every agent.
    if redacted(sweep.content) != sweep.content or re.search(r"://[^/\s@'\"]+@", str(sweep.content)):
        raise InputError(
            f"the sweep {sweep.name} holds a key or a password, and Weights & Biases would keep it; "
            "leave it to the environment of each agent."
        )
    project = sweep.content.get("project") or os.environ.get("WANDB_PROJECT") or PROJECT
    content = {**sweep.content, "parameters": sweep.parameters, "name": sweep.name}
    content.pop("program", None)  # it is in the command
    try:
        with redirect_stdout(sys.stderr):
            name = wandb.sweep(content, entity=sweep.content.get("entity"), project=project)
    except Exception as error:
        reason = redact(" ".join(str(error).split()))[:200]
        raise InputError(
            f"the sweep cannot be created in Weights & Biases ({reason}); "
            "WANDB_MODE=offline runs it on this machine alone."
        ) from error
    # `wandb.sweep` leaves in the environment where the server put it.
    parts = [os.environ.get("WANDB_ENTITY"), os.environ.get("WANDB_PROJECT", project), name]
    return "/".join(part for part in parts if part)


def _join(target: str, words: Sequence[str], count: int | None, workers: Executor) -> int:
    if not _online():
        raise InputError(f"to join the sweep {target}, Weights & Biases needs a key: set WANDB_API_KEY.")
    if words:
        raise InputError(f"{words[0]!r}: the settings of the sweep {target} were fixed when it was created.")
    return _agents(target, count, workers)


def _agents(sweep_id: str, count: int | None, workers: Executor) -> int:
    """Run W&B's own agents in processes of their own until the sweep ends; they share it."""
    from ipo_prompts.experiments.executors.base import Here
    from ipo_prompts.experiments.executors.pool import Pool

    if not isinstance(workers, (Here, Pool)):
        raise InputError("a sweep with a server is shared by machines: run `ipo sweep ENTITY/PROJECT/ID` on each.")
    number = workers.workers if isinstance(workers, Pool) else 1
    number = number if count is None else min(number, count)
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(workers.threads)} if workers.threads else {})}
    # The agent starts `ipo`: the one of this installation.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    print(f"{number} agents; more machines join with: ipo sweep {sweep_id}", file=sys.stderr)
    agents = [
        subprocess.Popen(agent_command(sweep_id, share), env=environment, stdout=sys.stderr)
        for share in shares(count, number)
    ]
    try:
        codes = [agent.wait() for agent in agents]
    finally:
        for agent in agents:
            agent.terminate()
            agent.wait()
    return 1 if any(codes) else 0


def agent_command(sweep_id: str, count: int | None) -> list[str]:
    """Return the command line of one agent."""
    limit = [] if count is None else ["--count", str(count)]
    return [sys.executable, "-m", "wandb", "agent", "--forward-signals", *limit, sweep_id]


def shares(count: int | None, agents: int) -> list[int | None]:
    """Divide `count` runs among agents as evenly as possible; None when there is no limit.

    >>> shares(5, 2), shares(None, 2)
    ([3, 2], [None, None])
    """
    if count is None:
        return [None] * agents
    return [count // agents + (i < count % agents) for i in range(agents)]


def _forecast(planned: Sequence[SweepRun]) -> str:
    """Say what would be run and what it would cost; nothing is asked, no picture is opened."""
    from ipo_prompts.experiments.run.estimate import estimate
    from ipo_prompts.experiments.run.live_view import money
    from ipo_prompts.experiments.run.plan import plan
    from ipo_prompts.programs.lm.ledger import total_usd

    lines, usd = [], []
    for run in planned:
        try:
            forecast: dict[str, Any] = estimate(plan(run.config, ready=False))
        except InputError as error:
            lines.append(f"{run.folder.name}: would fail: {error}")
            continue
        usd.append(forecast["usd"])
        calls = sum(forecast[role]["calls"] for role in ("optimizer", "describer") if forecast[role])
        lines.append(f"{run.folder.name}: about {calls:,} calls, {money(forecast['usd'])}")
    return "\n".join([*lines, f"{len(planned)} runs, together {money(total_usd(usd))}; nothing was asked yet"])
