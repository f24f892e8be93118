"""`python -m tests.faults.storm`: many seeds, on several cores, and what became of them.

It starts a PostgreSQL of its own in memory and ends it. Exit code 1 when a seed failed.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from time import monotonic

from rich.console import Console

from tests import servers
from tests.faults.storm.bugs import BUGS
from tests.faults.storm.many import results
from tests.faults.storm.play import Result
from tests.faults.storm.wide_bugs import WIDE_BUGS

GROUPS = (
    "killed ", "cut ", "page ", "way ", "pay ", "fault ", "status ", "balance ", "message ",
    "act ", "call ", "notification ", "process ", "payout ", "console ", "request ",
)  # fmt: skip

COUNTED: Mapping[str, str | tuple[str, ...]] = {
    "doubles": "DOUBLE", "lost": ("LOST:", "LOST BALANCE"), "over-refunds": "OVER-REFUND",
    "unpaid served days": "UNPAID", "paid days taken": "PAID DAYS", "plans lost": "INTENT",
    "not isolated": "ISOLATION", "not confirmed": "BACKDATED",
    "keys": "KEY", "feed and deliveries": ("FEED", "DELIVERY"), "notifications": "NOTICE",
    "announcements": "AHEAD", "requests": ("REQUEST", "ALONE"),
}  # fmt: skip
"""What is counted in the last line, and how such findings begin."""


def main() -> int:
    """Run the requested seeds, and print their results."""
    ask = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    ask.add_argument("--seeds", type=int, default=200, help="how many seeds (200)")
    ask.add_argument("--from", type=int, default=1, dest="first", help="the first seed (1)")
    ask.add_argument("--seed", type=int, help="this seed only, with its trace")
    ask.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    ask.add_argument("--wide", action="store_true", help="combinations, proxies, spoilt rows too")
    ask.add_argument("--bug", choices=sorted({**BUGS, **WIDE_BUGS}), help="put a deliberate bug in")
    asked = ask.parse_args()
    seeds = list(range(asked.first, asked.first + asked.seeds))
    if asked.seed is not None:
        seeds = [asked.seed]
    console, began = Console(highlight=False, soft_wrap=True), monotonic()
    host = servers.Host()
    done: list[Result] = []
    try:
        for result in results(seeds, asked.jobs, asked.bug, wide=asked.wide):
            done.append(result)
            if result.findings:
                console.print(f"seed {result.seed}: {len(result.findings)} findings", style="red")
            elif len(done) % 20 == 0:
                console.print(f"… {len(done)} of {len(seeds)}")
    except KeyboardInterrupt:
        return 130
    finally:
        host.close()
    failed = sorted((result for result in done if result.findings), key=lambda item: item.seed)
    shown = failed[:1] or (done if asked.seed is not None else [])
    for result in shown:
        for line in result.trace:
            console.print(line, markup=False)
    _totals(console, done, monotonic() - began)
    again = f"make storm {'' if asked.wide else 'NARROW=1 '}SEED="
    for result in failed:
        console.print(f"\nseed {result.seed} FAILED: {again}{result.seed}", style="red")
        for finding in result.findings:
            console.print(f"  {finding}", markup=False)
    return 1 if failed else 0


def _totals(console: Console, done: list[Result], seconds: float) -> None:
    met: Counter[str] = sum((result.met for result in done), Counter())
    found = [finding for result in done for finding in result.findings]
    for group in GROUPS:
        listed = sorted((what, n) for what, n in met.items() if what.startswith(group))
        words = ", ".join(f"{what.removeprefix(group)} {n}" for what, n in listed)
        console.print(f"{group.strip():>8}: {words}")
    others = sorted((w, n) for w, n in met.items() if not w.startswith(GROUPS))
    console.print(f"{'others':>8}: " + ", ".join(f"{what} {n}" for what, n in others))
    counts = ", ".join(
        f"{what} {sum(finding.startswith(words) for finding in found)}"
        for what, words in COUNTED.items()
    )
    crashes = sum(result.crashes for result in done)
    busy = sum(result.seconds for result in done) / max(len(done), 1)
    console.print(
        f"{len(done)} runs: {met['charges sent']:,} charges, {met['debits']:,} debits,"
        f" {crashes:,} crashes, {met['restored']} restores; {counts},"
        f" findings {len(found)}; {seconds:.0f} s, {busy:.1f} s a seed"
    )


if __name__ == "__main__":
    sys.exit(main())
