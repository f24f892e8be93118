"""The siege from the command line: what happens is printed, and the exit code is the verdict."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from random import Random

from rich.console import Console

from billing import logs
from tests import forked_programs
from tests.faults.ground import grounds
from tests.faults.siege.play import SETTINGS, Siege, long, short
from tests.faults.siege.verdict import Verdict

CHARGES = 5_000
SHORT_CHARGES = 300
LINES_MAX = 10


def main(arguments: Sequence[str]) -> int:
    """Play one siege; 0 when it was held, 1 when it was not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m tests.faults.siege", description=__doc__)
    parser.add_argument("--charges", type=int, help="about how many (default 5000)")
    parser.add_argument("--seed", type=int, help="draws strikes and misfortunes")
    parser.add_argument("--short", action="store_true", help="a minute of it")
    parser.add_argument("--web", action="store_true", help="the short one with a web process too")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    seed = given.seed if given.seed is not None else Random().randrange(1 << 32)
    size = long(given.charges or CHARGES)
    if given.short:
        size = short(given.charges or SHORT_CHARGES, web=given.web)
    console.print(f"a siege of {size.charges:,} charges, --seed {seed}")
    # Nothing is measured in the short one, and each strike would cost a second of imports.
    programs = forked_programs.programs() if given.short else nullcontext()
    try:
        with programs, grounds(**SETTINGS) as ground:
            siege = Siege(ground, size, Random(seed), lambda text: console.print(f"  {text}"))
            verdict = siege.run()
            _report(console, siege, verdict)
    except KeyboardInterrupt:
        console.print("given up; every process is ended")
        return 130
    console.print(f"{siege.seconds:.0f} s in all")
    return 0 if verdict.holds else 1


def _report(console: Console, siege: Siege, verdict: Verdict) -> None:
    struck = siege.strikes
    console.print(f"struck: {_listed(struck.done)} ({struck.kills} SIGKILLs of workers and beats)")
    if struck.revived:
        console.print(f"ended by themselves and started again: {_listed(struck.revived)}")
    console.print(f"the gateway's misfortunes: {_listed(siege.met)}")
    console.print(f"the ledger: {verdict.payments:,} payments, {verdict.refunds} refunds")
    console.print(
        f"declines for good: {verdict.ended} subscriptions ended by a hard one,"
        f" {verdict.linked_again} wallets linked anew"
    )
    if siege.front is not None:
        console.print(siege.front.words)
    for what, lines in verdict.complaints.items():
        console.print(f"{what}: {len(lines)}", style="bold red" if lines else "")
        for line in lines[:LINES_MAX]:
            console.print(f"  {line}", markup=False)
    console.print("HELD" if verdict.holds else "NOT HELD", style="bold")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("BILLING_")]:
        del os.environ[name]  # the developer's own settings
    logs.configure(level="error")
    sys.exit(main(sys.argv[1:]))
