"""The written plans of the hot statements: an index that got lost shows in `docs/plans`."""

import re

from tests.bench.plans import SMALL
from tests.house.tree import ROOT


def test_hot_statements_read_no_table_that_grows_from_end_to_end() -> None:
    """`make bench-scale` writes the plans with a past of years; only small tables are scanned."""
    plans = sorted((ROOT / "docs" / "plans").glob("*.txt"))
    scanned = {
        (plan.name, table)
        for plan in plans
        for table in re.findall(r"Seq Scan on (\w+)", plan.read_text())
        if table not in SMALL
    }

    assert plans
    assert not scanned
