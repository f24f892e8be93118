"""Alerts and dashboard: each names metrics that exist, and a runbook; promtool runs their tests."""

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from billing.call_times import NOTHING
from billing.services.operating.metrics import Figures
from billing.store.queries.engine import Heartbeat
from billing.store.queries.metrics import Now, Total
from billing.web import metrics
from tests.house.tree import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
AT = datetime(2026, 1, 31, tzinfo=UTC)
PROMTOOL = shutil.which("promtool")
REQUIRED = os.environ.get("OVO_PROMTOOL") == "required"


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def shown() -> set[str]:
    """The name of every sample that a scrape can have."""
    now = Now(*[AT if "_at" in name else 1 for name in Now._fields])
    figures = Figures(
        AT, AT, now, [Total("declines", "limit", 1), Total("charges", "succeeded", 1)], 0,
        {"pay": NOTHING}, [Heartbeat("audit", AT, AT, None, None)],
        dict.fromkeys(metrics.CHECKED, 1.0),
    )  # fmt: skip
    found = metrics.families(figures, {"charges": 0})
    return {sample.name for family in found for sample in family.samples}


def named(expressions: list[str]) -> set[str]:
    """The metrics of expressions."""
    return {name for text in expressions for name in re.findall(r"\bbilling_\w+", text)}


def test_alerts_read_metrics_that_exist() -> None:
    """A metric that is renamed silences no alert."""
    assert named([rule["expr"] for rule in rules()]) <= shown()


def test_the_dashboard_reads_metrics_that_exist() -> None:
    """Each panel has data."""
    board = json.loads((ROOT / "deploy" / "grafana" / "billing.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]

    assert len(expressions) >= len(board["panels"])
    assert named(expressions) <= shown()


def test_metrics_are_those_of_the_page() -> None:
    """Each metric is explained in docs/operations.md, and nothing else is."""
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page[page.index("## Metrics") : page.index("## Alerts")]
    plain = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in shown()}

    assert {re.sub(r"_created$", "", name) for name in named([section])} == plain


def test_each_alert_leads_to_a_section_of_the_runbook() -> None:
    """Its anchor is a heading of docs/operations.md, and each section belongs to an alert."""
    page = (ROOT / "docs" / "operations.md").read_text()
    part = page[page.index("## Alerts") : page.index("## Install")]
    headings = re.findall(r"^### (.+)$", part, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    books = [rule["annotations"]["runbook"].partition("#") for rule in rules()]

    assert {page for page, _, _ in books} == {"docs/operations.md"}
    assert {anchor for _, _, anchor in books} == anchors


def test_each_alert_is_fired_by_a_test() -> None:
    """In `deploy/prometheus/*_test.yml` each fires once and is quiet once."""
    text = "".join(path.read_text() for path in FOLDER.glob("*_test.yml"))

    for rule in rules():
        name = rule["alert"]
        assert f"alertname: {name}, exp_alerts: []" in text
        assert f'alertname="{name}"' in text or re.search(
            rf"alertname: {name}\n\s+exp_alerts:\n", text
        ), name


@pytest.mark.skipif(PROMTOOL is None and not REQUIRED, reason="promtool is not installed")
def test_promtool_runs_the_tests_of_the_alerts() -> None:
    """Prometheus's own tool reads the rules and runs their tests."""
    assert PROMTOOL is not None, "install it with: apt-get install prometheus"
    tests = sorted(path.name for path in FOLDER.glob("*_test.yml"))
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", *tests]):
        done = subprocess.run(
            [PROMTOOL, *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
