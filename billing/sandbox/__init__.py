"""The sandbox: plays DOKU's OVO Recurring API, with its own ledger, in its own process.

    python -m billing.sandbox [--host 127.0.0.1] [--port 9001] [--state FILE] [--port-file FILE]

SANDBOX_CLIENT_ID and SANDBOX_SECRET_KEY must be set. Sandbox and engine do not import each other. A
program starts a sandbox with `process.start()`.

The API
-------

The seven calls, their checks and their answers are those of DOKU's API page; where the page is
silent, the choices are:

- Every request that passed the header and signature checks uses up its Request-Id, also one whose
  body was refused. The same request again gets 409 with the original body, signed; anything
  else with that id, and every GET, gets 409 `idempotent_request`.
- Every payment that was decided uses up its invoice number, also a declined one and one with
  TOKEN_EXPIRED: `invoice_already_used` (400).
- Declines are 400 with code `insufficient_funds`, `invalid_token`, or as a script says, and
  FAILED in the ledger and in status queries. A payment with an expired token answers 201 with
  TOKEN_EXPIRED and is not found by status queries (404).
- REFUNDED is the status of a payment that was refunded in full; a partial refund leaves SUCCESS. A
  refund that is too large, or of an unpaid payment, answers 201 with `refund.status` FAILED. A
  status query by the refund's Request-Id shows the refund's amount and type REFUND.
- A token lives 365 days. A customer with a live token, and an OVO phone that is linked to another
  customer, cannot be bound (400 `account_error`). Opening `registration_url`, or posting to it, is
  the customer's confirmation.
- 2xx answers and 409 originals are signed, errors are not.

Control, under /_sandbox/
-------------------------

Unsigned JSON; served on a loopback address, elsewhere only with SANDBOX_CONTROL=open. A request
that cannot be done answers 400, 404 or 409 with a `message`. One `seq` counts all ledger rows.

    GET    health                     {"status": "ok", "seq": N, "busy": N}; busy: requests
                                      that are held before their work is done
    GET    ledger                     ?after=SEQ&limit=1..10000&customer=&kind=&number=&status=
                                      {"rows": [...], "next": the following `after`, or null}
    GET    totals                     counts, sums, wallets, and the number of answers per call
    GET    wallets/{customer_id}      balances, status, token
    PUT    wallets/{customer_id}      {"cash": N, "points": N, "phone": "62…"}; each may be left
                                      out; with a phone the wallet is linked at once
    POST   wallets/{customer_id}/top-up     {"amount": N}
    POST   wallets/{customer_id}/confirm    the customer's confirmation
    GET    defaults
    PUT    defaults                   any of cash, points (of new wallets), auto_confirm_seconds
                                      (null: never, 0: at once), delay_ms (of every answer),
                                      sign_errors, repeat_answer (original | idempotent_request)
    GET    clock                      {"now": …, "frozen": …}
    PUT    clock                      {"now": "2026-01-31T09:00:00+07:00" or null for real time}
    POST   scripts                    one script, or a list of them
    GET    scripts                    all, with how many requests each has `met`
    DELETE scripts                    forget all
    POST   notices                    {"number": …, and the options of notify}: send now
    GET    notices                    those sent, each with the http status that answered, or null
    POST   webhooks                   a webhook of the engine, signed: kept, and answered with 200
    PUT    webhooks                   {"secret": "whsec_…"}: check signatures from now on
    GET    webhooks                   {"count": N, "webhooks": the last 100, newest last}

Ledger rows have a `kind`: payment, end (of an open payment), refund, bind, confirm, unbind. A
payment's own row shows its current `status`, its split into `points` and `cash`, what was
`refunded`, and in `moves` how often its money moved. The clock is the business clock: dates, token
life, and the ends of what is open. Signatures are always judged by real time.

With --state everything but scripts and `answers` survives a restart, also after a kill.

Scripts
-------

    {"match": {"call": "pay", "customer_id": "C1", "number": "INV-1"},     all optional
     "skip": 0, "times": 1,                                                times null: always
     "action": {"kind": "hold", "seconds": 2, "work": "later"}}

Calls are bind, tokens, balance, pay, refund, unbind, status. A script applies to requests
that would otherwise get their normal answer; it lets `skip` of them pass and applies to the next
`times`. At most one script of each group applies to a request, the oldest first.

Faults of the decision (new requests only, not repeated Request-Ids):

    decline        http_status=400, code="insufficient_funds", message; pay and refund: FAILED
    failed         message="DECLINED"; a 2xx whose status is FAILED (pay, refund, unbind)
    pending        end=null|SUCCESS|FAILED|EXPIRED with after_queries (N status queries still say
                   PENDING) or after_seconds of the clock; the money moves at the end
    token_expired  the same options; 404 until the end. Without an end the token really expires
    status_says    status="PENDING"; any text, and NOT_FOUND for a 404

Faults on the wire (repeated requests too), with `work` done or none:

    refuse           reset, nothing done; before the body is read if it matches on the call only
    turn_away        code=invalid_signature | invalid_client_id | request_time_out_of_range |
                     invalid_header_request; nothing done
    drop_before, drop_after          close without an answer, nothing done or all
    hold             seconds=1.0 of real time, work="done" first and the answer later, or "later"
    http_500         work="none"; the envelope of an unhandled failure
    html             work="none"; 200 with a page
    rate_limited     work="none"; 429, retry_after=1
    conflict         work="none"; code=idempotent_request (409) | invoice_already_used (400)
    garbage, empty   work="done"; signed, and no JSON in it
    wrong_signature, no_signature    work done
    wrong_amount     work done; one rupiah more in the answer (pay, refund, status)

Notices, when a payment ends (DOKU's HTTP notification, signed, in a thread of its own):

    notify           url, copies=1, seconds=0.0 of real time before the first, says="" (the true
                     status, or texts such as "FAILED SUCCESS", which are sent in this order),
                     signature="right" | "forged", amount="right" | "wrong" (one rupiah more)
"""
