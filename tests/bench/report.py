"""What the benchmark found, for people and for machines: a table, JSON and a plot."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.runs import Run

KINDS = ("bare", "loop", "engine")


@dataclass(frozen=True)
class Wallet:
    """Return the runs at one wallet delay, several of each kind."""

    milliseconds: int
    runs: Mapping[str, Sequence[Run]]

    def rate(self, kind: str) -> float:
        """Charges a second: the median."""
        return median(run.rate for run in self.runs[kind])

    def ratio(self, other: str) -> float:
        """The engine's rate over another's: the median over pairs that ran one after the other."""
        pairs = zip(self.runs["engine"], self.runs[other], strict=True)
        return median(ours.rate / theirs.rate for ours, theirs in pairs)


def machine() -> dict[str, Any]:
    """Where this was measured."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / (1 << 30)),
        "load_before": round(os.getloadavg()[0], 2),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def show(console: Console, wallets: Sequence[Wallet], about: Mapping[str, Any]) -> None:
    """Print the table: ratios first, because they mean the same on any machine."""
    table = Table(title="engine beside bare posts and a hand-written loop", title_justify="left")
    for name in ("wallet", "engine/bare", "engine/loop", "engine", "bare", "loop"):
        table.add_column(name, justify="right")
    for wallet in wallets:
        table.add_row(
            f"{wallet.milliseconds} ms",
            *(f"{wallet.ratio(other):.2f}" for other in ("bare", "loop")),
            *(f"{wallet.rate(kind):,.0f}/s" for kind in ("engine", "bare", "loop")),
        )
    console.print(table)
    used = Table(title="CPU a charge and peak memory of one process", title_justify="left")
    for name in ("wallet", "run", "process", "CPU", "peak"):
        used.add_column(name, justify="right" if name in {"CPU", "peak"} else "left")
    for wallet in wallets:
        for kind in KINDS:
            for row in _used(wallet.runs[kind]):
                used.add_row(f"{wallet.milliseconds} ms", kind, *row)
    console.print(used)
    console.print(", ".join(f"{name} {value}" for name, value in about.items()))


def write(folder: Path, wallets: Sequence[Wallet], about: Mapping[str, Any]) -> None:
    """Write bench.json and bench.png."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"about": about, "wallets": [_document(wallet) for wallet in wallets]}
    (folder / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    _plot(folder / "bench.png", wallets)


def _document(wallet: Wallet) -> dict[str, Any]:
    return {
        "wallet_ms": wallet.milliseconds,
        "engine_over_bare": round(wallet.ratio("bare"), 3),
        "engine_over_loop": round(wallet.ratio("loop"), 3),
        "charges_a_second": {kind: round(wallet.rate(kind), 1) for kind in KINDS},
        "runs": {kind: [asdict(run) for run in wallet.runs[kind]] for kind in KINDS},
    }


def _used(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    names = sorted({name for run in runs for name in run.used.cpu_seconds})
    return [
        (
            name,
            f"{median(r.used.cpu_seconds.get(name, 0) / r.charges for r in runs) * 1000:.2f} ms",
            f"{max(r.used.peak_mb.get(name, 0) for r in runs):.0f} MB",
        )
        for name in names
    ]


def _plot(path: Path, wallets: Sequence[Wallet]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    width = 0.27
    for place, kind in enumerate(KINDS):
        at = [number + (place - 1) * width for number in range(len(wallets))]
        bars = axes.bar(at, [wallet.rate(kind) for wallet in wallets], width, label=kind)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axes.set_xticks(
        range(len(wallets)), [f"wallet answers in {wallet.milliseconds} ms" for wallet in wallets]
    )
    axes.set_ylabel("charges a second")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
