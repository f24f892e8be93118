"""The functions that a charge passes from the beat to its settled row, in the order of the calls.

It is the plain case: a due period, a linked wallet and a payment that succeeds at once. It knows
names only; `test_architecture` checks that each exists and is reached from an earlier one.
"""

from typing import NamedTuple

COLLECTING = "billing/services/collecting"
QUERIES = "billing/store/queries"


class Step(NamedTuple):
    """One function of the path."""

    file: str
    function: str
    does: str


class Part(NamedTuple):
    """Some steps that run in one process, one after the other."""

    title: str
    steps: tuple[Step, ...]


PATH = (
    Part("Open the period (queue `ticks`)", (
        Step("schedules/beat.py", "schedule", "beat sends the ticks every few seconds"),
        Step("workers/ticks.py", "open_periods", "the tick that opens periods"),
        Step(f"{COLLECTING}/opening_batches.py", "open_for", "opens for a second, under a lease"),
        Step(f"{COLLECTING}/opening_batches.py", "_open", "lists whose period has begun"),
        Step(f"{COLLECTING}/opening_batches.py", "_open_listed", "divides into batches of 1,000"),
        Step(f"{COLLECTING}/opening_batches.py", "_open_batch", "holds a row that fails"),
        Step(f"{COLLECTING}/opening_batches.py", "_open_together", "the transaction of a batch"),
        Step(f"{COLLECTING}/opening.py", "open_in", "locks subscriptions, writes the result"),
        Step(f"{COLLECTING}/opening.py", "_plan", "computes invoice, events and next due date"),
        Step(f"{QUERIES}/invoices.py", "open_periods", "inserts the invoices, each once"),
    )),
    Part("Put it on the queue (queue `ticks`)", (
        Step("workers/ticks.py", "sweep_charges", "the tick that enqueues due invoices"),
        Step("workers/ticks.py", "_fill", "enqueues only while few batches wait"),
        Step(f"{COLLECTING}/charging.py", "lease_due", "asks whether charging is allowed"),
        Step(f"{QUERIES}/invoices.py", "lease_due", "leases due invoices for 45 seconds"),
    )),
    Part("Claim (queue `charges`)", (
        Step("workers/charges.py", "collect", "the task; its message is a list of invoice ids"),
        Step(f"{COLLECTING}/charging.py", "collect_on", "claims these, then what else is due"),
        Step(f"{COLLECTING}/pipeline.py", "Pipeline.run", "claims, collects and settles at once"),
        Step(f"{COLLECTING}/pipeline.py", "Claims.claim", "claims the next portion"),
        Step(f"{COLLECTING}/claiming.py", "claim", "holds an invoice that fails; claims the rest"),
        Step(f"{COLLECTING}/claiming.py", "_claim", "checks wallet, daily and hourly limits"),
        Step(f"{QUERIES}/claims.py", "lock_subscriptions_of", "locks; passes over locked ones"),
        Step(f"{QUERIES}/claims.py", "candidates", "selects what may be charged now"),
        Step(f"{COLLECTING}/claiming.py", "_composed", "makes Request-Id, number and sealed body"),
        Step("billing/gateway/doku.py", "DokuGateway.compose", "makes the body of the request"),
        Step(f"{QUERIES}/claims.py", "claim", "inserts the charges; the commit follows"),
    )),
    Part("Call (no transaction is open)", (
        Step(f"{COLLECTING}/dispatch.py", "Wire.put", "hands claimed payments to the threads"),
        Step(f"{COLLECTING}/dispatch.py", "Wire._news", "makes one call; an exception is unknown"),
        Step("billing/gateway/doku.py", "DokuGateway.pay", "the call as the engine knows it"),
        Step("billing/gateway/doku.py", "DokuGateway._call", "signs, sends, checks the signature"),
        Step("billing/gateway/transport.py", "Transport.send", "sends the bytes once"),
        Step("billing/gateway/answers.py", "payment", "turns the answer into an outcome"),
        Step(f"{COLLECTING}/dispatch.py", "Wire.take", "returns the answers that arrived"),
    )),
    Part("Settle", (
        Step(f"{COLLECTING}/settling.py", "settle", "settles a group of outcomes"),
        Step(f"{COLLECTING}/settling.py", "_settle", "the transaction of a group"),
        Step(f"{QUERIES}/settlements.py", "lock_for_settling", "locks subscriptions, reads facts"),
        Step("billing/domain/settlement.py", "decide", "decides what the outcome means"),
        Step(f"{COLLECTING}/settling.py", "_write", "turns decisions into rows and events"),
        Step(f"{QUERIES}/settlements.py", "write_outcomes", "writes charge, invoice and events"),
    )),
)  # fmt: skip
STEPS = tuple(step for part in PATH for step in part.steps)
STEPS_MAX = 40
