"""`make bench`: bare posts, a hand-written loop and the engine, in one run; under ten minutes."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from billing import logs
from tests.bench import runs
from tests.bench.ceiling import ceiling
from tests.bench.report import KINDS, Wallet, machine, show, write
from tests.bench.runs import Run
from tests.bench.stage import Stage, forget_own_settings, stage


@dataclass(frozen=True)
class Size:
    """How much is measured: charges in a run by wallet, and runs of each kind."""

    charges: dict[int, int]
    runs: int
    settings: Mapping[str, str] = field(default_factory=dict)


FULL = Size({0: 30_000, 50: 12_000, 300: 2_000}, 3)
SMALLEST = Size({0: 200}, 1, {"BILLING_TICK_SECONDS": "1"})


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write bench.json and bench.png; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".local/bench"), help="%(default)s")
    parser.add_argument("--runs", type=int, default=FULL.runs, help="of each kind (%(default)s)")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        bench(console, Size(FULL.charges, given.runs), given.out)
    except KeyboardInterrupt:
        console.print("given up; every process is ended")
        return 130
    return 0


def bench(console: Console, size: Size, out: Path) -> list[Wallet]:
    """Measure everything once; the engine's processes start once and stay."""
    about = machine()
    with stage(max(size.charges.values()), **size.settings) as ground:
        most = ceiling(ground, max(size.charges.values()))
        console.print(f"the pretend gateway alone answers {most:,.0f} payments/s")
        worker, beat = ground.start_engine()
        measures = {
            "bare": runs.bare,
            "loop": runs.loop,
            "engine": lambda at, charges: runs.engine(at, charges, worker, beat),
        }
        wallets = []
        for milliseconds, charges in size.charges.items():
            ground.wallet_takes(milliseconds)
            found: dict[str, list[Run]] = {kind: [] for kind in KINDS}
            for _ in range(size.runs):
                # One after the other, so that what else the machine does meets all alike.
                for kind in KINDS:
                    found[kind].append(measures[kind](ground, charges))
                    rate = found[kind][-1].rate
                    console.print(f"  {milliseconds:3} ms {kind:6} {rate:8,.0f} charges/s")
            wallets.append(Wallet(milliseconds, found))
        about |= {"gateway_ceiling": round(most), **_settings(ground)}
    show(console, wallets, about)
    write(out, wallets, about)
    console.print(f"written: {out}/bench.json and bench.png")
    return wallets


def _settings(ground: Stage) -> dict[str, int]:
    settings = ground.settings
    return {
        "processes": settings.worker_processes,
        "threads": settings.batch_threads,
        "batch": settings.batch_size,
    }


if __name__ == "__main__":
    forget_own_settings()
    logs.configure("json", "warning")
    sys.exit(main(sys.argv[1:]))
