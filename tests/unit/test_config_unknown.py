"""A misspelled setting is named, with what was meant, and its value is not."""

from pathlib import Path

import pytest

from billing import cli, config


def test_a_misspelled_setting_is_named_with_what_was_meant() -> None:
    """Settings of ours and variables of others are no warning."""
    names = ["BILLING_TICK_SECOND", "BILLING_TICK_SECONDS", "PATH", "billing_home", "BILLING_ZZZ"]
    assert config.unknown(names) == [
        "BILLING_TICK_SECOND is no setting; did you mean BILLING_TICK_SECONDS?",
        "BILLING_ZZZ is no setting",
    ]


def test_the_environment_and_env_file_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both places can have settings; a value is never shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BILLING_TOKEN_KEYS", "very-secret")
    (tmp_path / ".env").write_text("BILLING_UP_PROT=1\n")
    assert config.unknown() == [
        "BILLING_TOKEN_KEYS is no setting; did you mean BILLING_TOKEN_KEY?",
        "BILLING_UP_PROT is no setting; did you mean BILLING_UP_PORT?",
    ]


def test_the_doctor_warns_of_a_misspelled_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of its own, which is a warning and no fault."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BILLING_DOKU_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("BILLING_TICK_SECOND", "5")
    cli.run(["doctor"])
    [line] = [each for each in capsys.readouterr().out.splitlines() if "TICK_SECOND" in each]
    assert line.startswith("warning")
    assert "did you mean BILLING_TICK_SECONDS?" in line
