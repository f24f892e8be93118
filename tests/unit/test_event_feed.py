"""The low mark of the event feed."""

from billing.domain.event_feed import Candidate, Mark, advanced

NOBODY = frozenset[str]()
A, AB, B = frozenset({"a"}), frozenset({"a", "b"}), frozenset({"b"})


def test_the_mark_moves_at_once_when_nothing_is_open() -> None:
    """Without writers everything up to the highest id is visible."""
    assert advanced(Mark(5), 9, NOBODY, None) == Mark(9)
    assert advanced(Mark(5, Candidate(7, A)), 9, NOBODY, None) == Mark(9)


def test_the_mark_waits_for_each_writer_of_its_candidate() -> None:
    """The candidate stays until the last of its writers has ended; later writers do not count."""
    first = advanced(Mark(5), 7, AB, None)
    assert first == Mark(5, Candidate(7, AB))
    assert advanced(first, 9, A, None) == first
    assert advanced(first, 9, frozenset({"c"}), None) == Mark(7, Candidate(9, frozenset({"c"})))


def test_the_mark_stays_behind_a_scan_that_was_cut() -> None:
    """Events above the last appended one are not in the feed yet; the next scan is allowed more."""
    cut = advanced(Mark(5), 90, NOBODY, 20)
    assert cut == Mark(20, Candidate(90, NOBODY))
    assert advanced(cut, 95, B, 40) == Mark(40, Candidate(90, NOBODY))
    assert advanced(cut, 95, B, None) == Mark(90, Candidate(95, B))


def test_the_mark_never_moves_back() -> None:
    """A table that was emptied has no highest id."""
    assert advanced(Mark(5), 0, NOBODY, None) == Mark(5)
