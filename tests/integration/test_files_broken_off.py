"""An interrupted import reports the rows that it has added; they stay."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from billing import cli
from billing.services.operating import importing
from tests.integration.command import Billing
from tests.integration.engine import Engine


def people(folder: Path, count: int) -> Path:
    """Write a file of N customers."""
    file = folder / "customers.csv"
    rows = [f"B{number},Ani,,\n" for number in range(count)]
    file.write_text("id,name,phone,email\n" + "".join(rows))
    return file


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (OperationalError("x", {}, Exception("server closed")), 1, "server closed"),
        (ValueError("odd"), 1, "internal error (ValueError)"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("batches", [1, 3])
def test_an_import_that_breaks_off_says_what_was_added(
    engine: Engine, billing: Billing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    wrong: BaseException, code: int, said: str, batches: int,
) -> None:  # fmt: skip
    """One line with the cause and the count, also of the batch that was being written."""
    plain, seen = importing._checked, []

    def checked(*arguments: object) -> object:
        if len(seen) == batches:
            raise wrong
        seen.append(1)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(importing, "BATCH", 2)
    monkeypatch.setattr(importing, "_checked", checked)

    told = billing("import", "customers", people(tmp_path, 10), code=code)

    added = engine.counts()["customers"]
    assert added == 2 * batches
    assert said in told
    assert f"; {added} added, 0 known already, 0 rejected before the import stopped" in told
    monkeypatch.undo()


def test_an_interrupted_import_can_be_repeated(
    engine: Engine, billing: Billing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run of an interrupted import completes it and finds the rows already added."""
    file, plain = people(tmp_path, 6), importing._settled
    monkeypatch.setattr(importing, "BATCH", 2)
    seen: list[int] = []

    def settled(*arguments: object) -> object:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return plain(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_settled", settled)
        assert cli.run(["import", "customers", str(file)]) == 130
    again = billing("import", "customers", file)
    assert (again["added_count"] + again["known_count"], engine.counts()["customers"]) == (6, 6)
