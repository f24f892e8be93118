"""The reject file is private, written atomically, and never replaces another file."""

import stat
from pathlib import Path

import pytest

from billing.cli import rejects
from billing.domain.errors import InvalidValue


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that was imported."""
    file = tmp_path / "c.csv"
    file.write_text("id,name\n")
    return file


def test_rejects_are_sorted_and_for_their_owner(source: Path) -> None:
    """They are written beside the file, in the order of its lines; an earlier file is replaced."""
    for bad in ([(9, "worse"), (4, "=bad")], [(5, "bad")]):
        path = rejects.place(source, "customers")
        rejects.write(path, bad)

    assert path == source.with_name("c.csv.rejected.csv")
    assert path.read_bytes() == b"line,reason\r\n5,bad\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in source.parent.iterdir()) == ["c.csv", "c.csv.rejected.csv"]


def test_a_link_is_not_followed(source: Path, tmp_path: Path) -> None:
    """Otherwise another user of the folder could make the import overwrite any of its files."""
    target = tmp_path / "precious"
    target.write_text("line,reason\n")
    path = source.with_name("c.csv.rejected.csv")
    path.symlink_to(target)

    with pytest.raises(InvalidValue, match="move it away"):
        rejects.place(source, "customers")
    rejects.write(path, [(2, "bad")])  # it was put there meanwhile

    assert target.read_text() == "line,reason\n"
    assert not path.is_symlink()


@pytest.mark.parametrize("content", ["id,name\nA,Ayu\n", None])
def test_another_file_stays(source: Path, content: str | None) -> None:
    """A file or a folder of that name that no import made is in the way."""
    path = source.with_name("c.csv.rejected.csv")
    path.mkdir() if content is None else path.write_text(content)

    with pytest.raises(InvalidValue, match="is not a reject file of an import; move it away"):
        rejects.place(source, "customers")
    assert content is None or path.read_text() == content


def test_rejects_of_a_pipe_go_into_the_working_folder() -> None:
    """There is no folder of its own beside a pipe."""
    for pipe in ("-", "/dev/stdin", "/dev/fd/63"):
        assert rejects.place(Path(pipe), "customers") == Path("customers.rejected.csv")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The reason is the system's own."""
    with pytest.raises(InvalidValue, match="No such file or directory"):
        rejects.write(tmp_path / "gone" / "c.rejected.csv", [(2, "bad")])


def test_a_bad_row_keeps_its_cells(source: Path) -> None:
    """They come after line and reason, and a later import may replace such a file."""
    path = rejects.place(source, "customers")
    rejects.write(path, [(5, "bad")], ("id", "name"), {5: ["A", "=1"]})
    assert path.read_bytes() == b"line,reason,id,name\r\n5,bad,A,'=1\r\n"
    assert rejects.place(source, "customers") == path
