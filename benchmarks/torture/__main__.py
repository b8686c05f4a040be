"""Torture test of the solver: random small networks, judged from outside.

    python -m benchmarks.torture --networks 500
    python -m benchmarks.torture --only pooling --networks 50
    python -m benchmarks.torture --number 137            one of them, with all that was found

Every network, its inputs and its settings follow from its number and --seed. The table has a row for each kind of
network; under it are the cases that break a promise. The exit code is 1 if there is one. What has been judged is kept
in --out, so that the same command continues where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ..bench.report import table
from .cases import FAMILIES, Case, cases
from .promises import PROMISES, Verdict, judged


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--networks", type=int, default=500, help="how many")
    add("--seed", type=int, default=0, help="of all networks")
    add("--only", choices=FAMILIES, metavar="KIND", help=f"one kind of network: {', '.join(FAMILIES)}")
    add("--number", type=int, help="one network")
    add("--out", type=Path, help="file that keeps what has been judged, one line of JSON a network")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Judges the networks, prints the table and returns the exit code."""
    options = arguments(argv)
    torch.set_num_threads(1)
    chosen = cases(options.networks, options.seed, options.only)
    if options.number is not None:
        chosen = [Case.of(options.number, options.seed)]
    known, verdicts = _kept(options.out), []
    for place, case in enumerate(chosen):
        verdict = known.get((case.seed, case.number))
        if verdict is None:
            verdict = judged(case)
            _keep(options.out, verdict)
        verdicts.append(verdict)
        print(f"{place + 1}/{len(chosen)} {case} → {_outcome(verdict)}", file=sys.stderr, flush=True)
    print(report(verdicts))
    return int(any(verdict.broken for verdict in verdicts))


def report(verdicts: Sequence[Verdict]) -> str:
    """The table of kinds, what each promise says, and the cases that break one."""
    rows = [("kind", "networks", "refused", "failed", "values", "converged", *PROMISES, "worst")]
    rows += [
        _row(family, [each for each in verdicts if each.case.family == family])
        for family in FAMILIES
        if any(each.case.family == family for each in verdicts)
    ]
    rows.append(_row("all", list(verdicts)))
    lines = [table(rows), "", *(f"{name}: {words}" for name, words in PROMISES.items()), ""]
    for verdict in verdicts:
        if verdict.broken:
            lines += [str(verdict.case), *(f"    {words}" for words in verdict.words)]
    return "\n".join(lines)


def _row(kind: str, verdicts: list[Verdict]) -> tuple[str, ...]:
    """A row of the table: how often each promise is held, of the networks where it was tested."""
    held = []
    for promise in PROMISES:
        shares = [each.used[promise] for each in verdicts if promise in each.used]
        held.append(f"{sum(share <= 1 for share in shares)}/{len(shares)}")
    share, promise, number = max(
        (share, name, each.case.number) for each in verdicts for name, share in each.used.items()
    )
    status = [each.status for each in verdicts]
    return (
        kind,
        str(len(verdicts)),
        str(status.count("refused")),
        str(status.count("failed")),
        str(sum(each.values for each in verdicts)),
        str(sum(each.converged for each in verdicts)),
        *held,
        f"{promise} {share:.2f} #{number}",
    )


def _outcome(verdict: Verdict) -> str:
    """A case in a few words."""
    said = f"{verdict.status}, {verdict.converged}/{verdict.values} converged"
    return said + ("; BROKEN " if verdict.broken else "; ") + "; ".join(verdict.words)


def _kept(path: Path | None) -> dict[tuple[int, int], Verdict]:
    """What has been judged, by seed and number."""
    if path is None or not path.exists():
        return {}
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        (line["seed"], line["number"]): Verdict(Case.of(line.pop("number"), line.pop("seed")), **line) for line in kept
    }


def _keep(path: Path | None, verdict: Verdict) -> None:
    """Adds a verdict to what has been judged."""
    if path is not None:
        line = asdict(verdict) | {"number": verdict.case.number, "seed": verdict.case.seed}
        line.pop("case")
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
