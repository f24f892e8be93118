"""The siege: thousands of charges while every process is killed again and again.

    python -m tests.faults.siege [--charges 5000] [--seed S] [--short [--web]]

PostgreSQL, Redis, the pretend gateway, two workers and two beats are its own processes. Workers
(their pool children, or all of them at once) and beats are killed with SIGKILL, Redis is flushed,
restarted and killed, PostgreSQL is shut down in order and as by a crash, and the gateway drops,
delays, forges and declines a few per cent of its calls. Months pass by the test clock, in leaps
that do not wait for the work to be done.

In the long siege, and with `--web`, the HTTP interface, the worker of webhooks and a receiver are
processes that are killed as well, while clients call with idempotency keys. Each deed must be done
once, and each event must reach the receiver.

Then the faults end, and the clock moves past the last horizon. The verdict is read from the
gateway's ledger: no customer was debited twice, no period was lost, nothing is unresolved, refunds
are right. Exit code 0 says that all of it holds.
"""
