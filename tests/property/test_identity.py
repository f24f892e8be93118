"""Gateway numbers and derived ids: within the gateway's limits, and never the same twice."""

import re
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import example, given
from hypothesis import strategies as st

from billing.domain import charge
from billing.domain.identity import dated

Key = tuple[UUID, int, int]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
microseconds = st.integers(0, 253_402_300_799_999_999)  # to the end of the year 9999
drawn = st.builds(
    lambda since, chance: dated(EPOCH + timedelta(microseconds=since), chance),
    microseconds, st.uuids(),
)  # fmt: skip
keys = st.tuples(st.uuids() | drawn, st.integers(0, 10_000_000), st.integers(1, 62**3 - 1))
# Neighbours are where a derivation without separators would meet itself: 1-23 and 12-3.
near = st.tuples(
    st.integers(0, 4).map(lambda value: UUID(int=value)), st.integers(0, 130), st.integers(1, 130)
)


@given(keys)
@example((UUID(int=0), 0, 1))
@example((UUID(int=2**128 - 1), 10_000_000, 62**3 - 1))
def test_numbers_are_what_the_gateway_accepts(key: Key) -> None:
    """DOKU, Payment: `order.invoice_number` is 3 to 32 letters, digits, `_` and `-`."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{3,32}", charge.gateway_number(*key))


@given(st.lists(keys | near, unique=True, min_size=2, max_size=40))
@example([(UUID(int=0), 1, 23), (UUID(int=0), 12, 3)])
def test_no_two_charges_share_a_number_or_an_id(several: list[Key]) -> None:
    """The gateway takes a repeated number for the same order: a shared one would lose money."""
    numbers = {charge.gateway_number(*key) for key in several}
    ids = {charge.charge_id(charge.invoice_id(key[0], key[1]), key[2]) for key in several}

    assert len(numbers) == len(several)
    assert len(ids) == len(several)


@given(keys)
def test_derivations_depend_on_nothing_else(key: Key) -> None:
    """Asked twice, the answer is the same: no clock, no counter and no chance is in it."""
    subscription, period, attempt = key

    assert charge.gateway_number(*key) == charge.gateway_number(*key)
    assert charge.invoice_id(subscription, period) == charge.invoice_id(
        UUID(str(subscription)), period
    )
    assert charge.refund_id(subscription, f"{attempt}") == charge.refund_id(
        UUID(str(subscription)), f"{attempt}"
    )


@given(microseconds, st.uuids())
def test_a_dated_id_tells_its_time_and_keeps_what_was_drawn(since: int, chance: UUID) -> None:
    """RFC 9562: 48 bits of milliseconds, the version, the variant, and 74 bits of chance."""
    identity = dated(EPOCH + timedelta(microseconds=since), chance)

    assert identity.int >> 80 == since // 1_000
    assert (identity.version, identity.variant) == (7, RFC_4122)
    assert identity.int >> 64 & 0xFFF == chance.int >> 64 & 0xFFF
    assert identity.int & (1 << 62) - 1 == chance.int & (1 << 62) - 1


@given(keys)
@example((UUID(int=0), 0, 1))
def test_ids_and_numbers_are_derived_and_never_drawn(key: Key) -> None:
    """A database restored from a backup makes its earlier charges again under the same ids."""
    subscription, period, attempt = key

    def made() -> tuple[UUID, UUID, UUID, str]:
        invoice = charge.invoice_id(subscription, period)
        one = charge.charge_id(invoice, attempt)
        return invoice, one, charge.refund_id(one, "1"), charge.gateway_number(*key)

    assert made() == made()
