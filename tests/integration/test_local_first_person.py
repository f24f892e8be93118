"""The first person of a local stack: made once, and never against an operator's will."""

from pathlib import Path

from billing.domain.events import OPERATOR
from billing.local import first_person
from billing.services.operating import people
from tests.integration.console import person
from tests.integration.engine import Engine


def test_the_first_person_has_the_password_of_the_file(engine: Engine, tmp_path: Path) -> None:
    """The same at each start; only the owner of the file may read it."""
    first, again = (first_person.login(engine.context, tmp_path) for _ in range(2))
    kept = tmp_path / first_person.PASSWORD
    assert first == again == f"admin / {kept.read_text().strip()}"
    assert kept.stat().st_mode & 0o077 == 0
    assert engine.one("SELECT count(*) FROM people") == 1


def test_a_disabled_first_person_stays_disabled(engine: Engine, tmp_path: Path) -> None:
    """A start neither enables nor replaces it, and shows no password that does not work."""
    first_person.login(engine.context, tmp_path)
    people.disable(engine.context, "admin", OPERATOR)
    assert "billing person list" in first_person.login(engine.context, tmp_path)
    kept = (tmp_path / first_person.PASSWORD).read_text().strip()
    assert not people.has_password(engine.context, "admin", kept)


def test_no_person_is_added_where_there_are_people(engine: Engine, tmp_path: Path) -> None:
    """A database that is in use already gets no administrator."""
    person(engine)
    assert "admin / " not in first_person.login(engine.context, tmp_path)
    assert engine.one("SELECT count(*) FROM people") == 1
