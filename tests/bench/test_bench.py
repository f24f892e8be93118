"""The smallest benchmark, so that it never rots."""

import json
from pathlib import Path

from rich.console import Console

from tests.bench.__main__ import SMALLEST, bench
from tests.bench.report import KINDS


def test_the_smallest_benchmark_measures_all_three(tmp_path: Path) -> None:
    """Bare posts, the loop and the engine each pay every charge, and the report has them."""
    [wallet] = bench(Console(quiet=True), SMALLEST, tmp_path)

    assert all(wallet.rate(kind) > 0 for kind in KINDS)
    document = json.loads((tmp_path / "bench.json").read_text())
    assert document["wallets"][0]["engine_over_loop"] == round(wallet.ratio("loop"), 3)
    assert set(document["wallets"][0]["runs"]["engine"][0]["used"]["peak_mb"]) >= {
        "worker", "beat", "postgres", "redis", "gateway",
    }  # fmt: skip
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
