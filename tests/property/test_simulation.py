"""Any wallet under any policy: no cap is exceeded, everything ends, and looking costs no step."""

from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain.dunning import CLIMBING, Policy
from billing.simulation import comparing
from billing.simulation.contenders import Contender
from billing.simulation.playing import play
from billing.simulation.wallets import ZONE, Life, drawn

ladders = st.lists(st.sampled_from(["6h", "1d", "2d", "7d", "0 10 25 * *"]), max_size=5).map(tuple)
caps = st.none() | st.integers(1, 8)
policies = st.builds(
    Policy,
    ladders,
    st.dictionaries(st.sampled_from(CLIMBING), ladders),
    caps,
    caps,
    st.none() | st.integers(1, 40),
)


@settings(max_examples=80, deadline=None)
@given(policies, st.booleans(), st.integers(0, 10_000))
def test_every_invoice_ends_within_the_caps(policy: Policy, aware: bool, seed: int) -> None:
    """Paid, or given up with the customer; never later, and never oftener, than a cap allows."""
    rng = Random(seed)
    life = Life(drawn(rng), rng)
    played = play(Contender("c", policy, aware), life, comparing._dates(5, 6))

    unpaid = [invoice for invoice in played.invoices if invoice.paid_at is None]
    assert played.is_lost == bool(unpaid)
    longest = max(len(steps) for steps in (policy.steps, *policy.ladders.values()))
    for invoice in played.invoices:
        assert invoice.charges <= min(1 + longest, policy.attempts_max or 99)
        assert invoice.past.steps_spent <= (policy.declines_max or 99)
        if invoice.first_failed_at is not None and invoice.paid_at is not None:
            end = policy.ends_at(invoice.first_failed_at, ZONE)
            assert end is None or invoice.paid_at <= end


@settings(max_examples=60, deadline=None)
@given(policies, st.integers(0, 10_000))
def test_a_balance_precheck_never_spends_a_charge_on_a_short_wallet(
    policy: Policy, seed: int
) -> None:
    """After the first failure a charge is declined for a limit only, never for a low balance."""
    rng = Random(seed)
    life = Life(drawn(rng), rng)
    played = play(Contender("c", policy, True), life, comparing._dates(5, 6))

    life.reach(400 * 24 * 60)
    for invoice in played.invoices:
        declined = invoice.charges - (invoice.paid_at is not None)
        limited = sum(life.limited)
        assert declined <= 1 + limited
        if not limited:
            assert invoice.past.scheduled_declines <= 1
            assert declined == (invoice.first_failed_at is not None)
        assert invoice.paid_at is None or invoice.paid_at < played.invoices[0].due_at + timedelta(
            days=400
        )
