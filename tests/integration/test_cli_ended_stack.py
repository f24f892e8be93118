"""A local stack that has ended: a second terminal says how to start it again."""

from pathlib import Path

import pytest

from billing import cli
from tests.commands import logs_as_before

DEAD = "postgresql://billing@127.0.0.1:1/billing"


@pytest.mark.parametrize("is_local", [True, False])
def test_a_command_says_how_to_start_an_ended_stack(
    is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Its folder still names the database; a database of one's own settings has to be checked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BILLING_HOME", str(tmp_path))
    if is_local:
        monkeypatch.delenv("BILLING_DATABASE_URL", raising=False)
        (tmp_path / "stack.env").write_text(f"BILLING_DATABASE_URL={DEAD}\n")
    else:
        monkeypatch.setenv("BILLING_DATABASE_URL", DEAD)
    with logs_as_before():
        assert cli.run(["plan", "list"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    first = said.removeprefix("billing: ")
    ended = "the local stack has ended; start it again with: billing up"
    assert first.startswith(ended) == is_local, "the useful words come first"
    assert ("check BILLING_DATABASE_URL" in said) != is_local
