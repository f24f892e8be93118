"""One process of the two things that the engine is compared with; started by `rivals`.

    python -m tests.bench.posts bare|loop

`bare` sends signed posts and does nothing else. `loop` is a hand-written loop: its own tables,
claims and outcomes committed in groups, and nothing of the engine but its gateway client. It reads
its job from stdin, says `ready`, begins at the next line, and tells how long it took.
"""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg

from billing import logs
from billing.clock import real_now
from billing.domain.outcomes import Outcome, Payer, Payment, SealedPayment, Succeeded
from billing.gateway.doku import DokuGateway
from tests.bench import people

GROUP = 50


def main() -> None:
    """Do one job."""
    logs.configure("json")  # as the engine has it: its default prints every call
    job = json.loads(sys.stdin.readline())
    gateway = DokuGateway(job["url"], job["client_id"], job["secret_key"], 75, real_now=real_now)
    pool = ThreadPoolExecutor(job["threads"])
    run = {"bare": _bare, "loop": _loop}[sys.argv[1]](job, gateway, pool)
    _say("ready")
    sys.stdin.readline()
    began = monotonic()
    paid = run()
    _say(json.dumps({"began": began, "ended": monotonic(), "paid": paid}))
    pool.shutdown()


def _bare(job: dict[str, Any], gateway: DokuGateway, pool: ThreadPoolExecutor) -> Callable[[], int]:
    payments = [
        _payment(gateway, str(uuid4()), number, f"{job['tag']}-{number}")
        for number in job["people"]
    ]
    return lambda: sum(
        isinstance(outcome, Succeeded) for outcome in pool.map(gateway.pay, payments)
    )


def _loop(job: dict[str, Any], gateway: DokuGateway, pool: ThreadPoolExecutor) -> Callable[[], int]:
    connection = psycopg.connect(job["database"])

    def run() -> int:
        waiting: dict[Future[Outcome], str] = {}
        groups, paid = _claims(connection, gateway), 0
        more = True
        while more or waiting:
            while more and len(waiting) < 2 * job["threads"]:
                group = next(groups, [])
                more = bool(group)
                waiting |= {pool.submit(gateway.pay, item): item.request_id for item in group}
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            paid += _settle(connection, [(waiting.pop(item), item.result()) for item in done])
        return paid

    return run


def _claims(connection: psycopg.Connection, gateway: DokuGateway) -> Iterator[list[SealedPayment]]:
    """Commit a group of charges before any of them is sent."""
    while True:
        due = connection.execute(
            "SELECT id, customer, number FROM loop_invoices WHERE status = 'open'"
            " LIMIT %s FOR UPDATE SKIP LOCKED",
            (GROUP,),
        ).fetchall()
        payments = [_payment(gateway, str(row[0]), row[1], row[2]) for row in due]
        connection.execute(
            "WITH mine AS (UPDATE loop_invoices SET status = 'charging' WHERE id = ANY(%s)"
            " RETURNING id, number) INSERT INTO loop_charges SELECT id, number, %s, 'in_flight',"
            " now() FROM mine",
            ([row[0] for row in due], people.AMOUNT),
        )
        connection.commit()
        yield payments


def _settle(connection: psycopg.Connection, settled: list[tuple[str, Outcome]]) -> int:
    """Commit what became of those that have been answered."""
    paid = [charge for charge, outcome in settled if isinstance(outcome, Succeeded)]
    connection.execute(
        "WITH mine AS (UPDATE loop_charges SET status = 'succeeded', settled_at = now()"
        " WHERE id = ANY(%s) RETURNING id) UPDATE loop_invoices i SET status = 'paid' FROM mine"
        " WHERE i.id = mine.id",
        (paid,),
    )
    connection.commit()
    return len(paid)


def _payment(gateway: DokuGateway, request_id: str, person: int, number: str) -> SealedPayment:
    payer = Payer(people.customer(person), f"Customer {person}", f"0812{person:08}",
                  f"c{person}@mail.example")  # fmt: skip
    payment = Payment(
        payer, number, people.AMOUNT, people.TOKEN, use_points=False, first_payment=True,
        description="Monthly",
    )  # fmt: skip
    return SealedPayment(request_id, number, people.AMOUNT, gateway.compose(payment))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
