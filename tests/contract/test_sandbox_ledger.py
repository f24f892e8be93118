"""The sandbox as a process: ledger, control API, state file, start and end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.sandbox.process import SandboxFailed, SandboxProcess, start
from tests.contract import sandbox_client as client
from tests.contract.sandbox_client import Customer, Merchant
from tests.waits import Lines

COMMAND = (sys.executable, "-m", "billing.sandbox")
KEYS = {"SANDBOX_CLIENT_ID": "MCH-1", "SANDBOX_SECRET_KEY": "made-up"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with start() as process:
        yield process


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with this environment for its own variables."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("SANDBOX_")}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_ledger_is_read_in_pages_and_by_filters(sandbox: SandboxProcess) -> None:
    """Pages follow each other by seq without gap or repeat; filters narrow them."""
    merchant = Merchant(sandbox)
    customer, other = merchant.linked(), merchant.linked()
    for payer in (customer, other, customer):
        merchant.pay(payer, 1_000)
    whole = merchant.ledger()

    paged: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = sandbox.control("GET", f"ledger?after={after}&limit=2")
        assert len(page["rows"]) <= 2
        paged += page["rows"]
        after = page["next"]

    assert paged == whole
    assert [row["seq"] for row in whole] == list(range(1, len(whole) + 1))
    assert len(merchant.ledger(customer=customer.id, kind="payment")) == 2
    assert {row["customer_id"] for row in merchant.ledger(customer=other.id)} == {other.id}
    for query in ("limit=0", "after=x", "colour=red"):
        with pytest.raises(ValueError, match=r"limit|after|colour"):
            sandbox.control("GET", f"ledger?{query}")


def test_totals_agree_with_the_wallets(sandbox: SandboxProcess) -> None:
    """What left the wallets is what was debited less what was credited."""
    merchant = Merchant(sandbox)
    before = sandbox.control("GET", "totals")
    customer = merchant.linked(cash=50_000)
    paid = merchant.pay(customer, 20_000)
    merchant.post(client.REFUND, customer.refund(paid, 5_000))

    after = sandbox.control("GET", "totals")

    assert after["debits"]["amount"] - before["debits"]["amount"] == 20_000
    assert after["credits"]["amount"] - before["credits"]["amount"] == 5_000
    assert after["credits"]["count"] - before["credits"]["count"] == 1
    assert after["wallets"]["cash"] - before["wallets"]["cash"] == 35_000
    assert after["answers"]["refund 201"] == before["answers"].get("refund 201", 0) + 1


def test_the_control_door_says_what_is_wrong(sandbox: SandboxProcess) -> None:
    """Unknown wallets, misspelt settings and clocks without offset are refused by name."""
    for method, path, body, reason in [
        ("GET", "wallets/nobody", None, "no GET"),
        ("POST", "wallets/nobody/confirm", None, "no POST"),
        ("PUT", "wallets/C1", {"cash": -1}, "cash"),
        ("PUT", "wallets/C1", {"gold": 1}, "expected: cash, points"),
        ("PUT", "wallets/C1", {"phone": 62812}, "phone must be digits"),
        ("PUT", "wallets/C1", {"cash": 7, "phone": "62"}, "phone must be digits"),
        ("PUT", "defaults", {"delay": 5}, "delay_ms"),
        ("PUT", "defaults", {"cash": None}, "cash"),
        ("PUT", "defaults", {"repeat_answer": "maybe"}, "repeat_answer"),
        ("PUT", "clock", {"now": "2026-01-31T09:00:00"}, "offset"),
        ("PUT", "clock", {"now": "tomorrow"}, "ISO 8601"),
        ("PUT", "clock", {"time": None}, "send"),
        ("PUT", "clock", None, "not JSON"),
        ("GET", "nothing", None, "no GET /_sandbox/nothing here"),
    ]:
        with pytest.raises(ValueError, match=reason):
            sandbox.control(method, path, body)


def test_a_wallet_set_before_its_binding_keeps_its_balances(sandbox: SandboxProcess) -> None:
    """PUT makes a wallet; binding the customer later does not refill it."""
    merchant, customer = Merchant(sandbox), Customer("C-0000000b00a1c")
    sandbox.control("PUT", f"wallets/{customer.id}", {"cash": 7})
    assert sandbox.control("GET", f"wallets/{customer.id}")["status"] == "unbound"

    merchant.post(client.BIND, customer.binding())

    assert merchant.balances(customer) == (7, 0)


def test_a_wallet_is_linked_at_once_by_its_phone(sandbox: SandboxProcess) -> None:
    """A phone that another customer has is refused, and the money stays as it was."""
    phone = "6281234500011"
    linked = sandbox.control("PUT", "wallets/C-at-once", {"cash": 5, "phone": phone})
    assert (linked["status"], linked["masked_phone_number"]) == ("bound", "****0011")
    sandbox.control("PUT", "wallets/C-other", {"cash": 5})
    for customer in ("C-other", "C-at-once"):
        with pytest.raises(ValueError, match="live token"):
            sandbox.control("PUT", f"wallets/{customer}", {"cash": 7, "phone": phone})
        assert sandbox.control("GET", f"wallets/{customer}")["cash"] == 5


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_second_start_goes_on_where_the_first_ended(tmp_path: Path, ending: str) -> None:
    """Ledger, wallets, tokens, used ids, open payments, clock and defaults survive, also a kill."""
    state = tmp_path / "sandbox.jsonl"
    with start(state) as first:
        merchant = Merchant(first)
        first.control("PUT", "clock", {"now": "2026-01-31T02:00:00Z"})
        first.control("PUT", "defaults", {"cash": 1_234})
        customer, leaver = merchant.linked(points=500), merchant.linked()
        body = customer.payment(5_000, "INV-KEPT", points=True, first=True)
        paid = merchant.post(client.PAY, body, request_id="kept")
        merchant.post(client.REFUND, customer.refund(paid, 1_000))
        merchant.post(client.UNBIND, leaver.unbinding())
        merchant.script("pending", "pay", end="SUCCESS", after_seconds=60)
        merchant.pay(customer, 2_000, number="INV-OPEN")
        rows, wallet = merchant.ledger(), first.control("GET", f"wallets/{customer.id}")
        code = first.stop() if ending == "stop" else first.kill()
        assert code == (0 if ending == "stop" else -signal.SIGKILL)

    with start(state) as second:
        merchant = Merchant(second)
        assert merchant.ledger() == rows
        assert second.control("GET", f"wallets/{customer.id}") == wallet
        assert second.control("GET", "clock") == {"now": "2026-01-31T02:00:00Z", "frozen": True}
        assert second.control("GET", "defaults")["cash"] == 1_234
        again = merchant.post(client.PAY, body, request_id="kept")
        assert (again.status, again.raw) == (409, paid.raw)
        assert merchant.shown("INV-OPEN") == "PENDING"
        second.control("PUT", "clock", {"now": "2026-01-31T02:01:00Z"})
        assert merchant.shown("INV-OPEN") == "SUCCESS"
        assert merchant.balances(customer) == (94_000, 500)
        assert merchant.pay(customer, 1_000).status == 201


def test_a_torn_last_line_is_cut_off_and_overwritten(tmp_path: Path) -> None:
    """Half a line is a request that was never answered; what follows it stays readable."""
    state = tmp_path / "sandbox.jsonl"
    with start(state) as first:
        Merchant(first).linked()
        rows = Merchant(first).ledger()
    whole = state.read_bytes()
    state.write_bytes(whole + whole.splitlines()[-1][:-5])

    for _ in range(2):
        with start(state) as later:
            assert Merchant(later).ledger()[: len(rows)] == rows
            Merchant(later).linked()


def test_a_damaged_or_shared_state_file_is_refused(tmp_path: Path) -> None:
    """A broken line that is not the last, and a file that another sandbox holds, stop the start."""
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b'[["Nothing",{}]]\n[]\n')
    with pytest.raises(SandboxFailed, match="line 1 is not readable"):
        start(broken)

    shared = tmp_path / "shared.jsonl"
    with start(shared), pytest.raises(SandboxFailed, match="in use by another sandbox"):
        start(shared)


def test_a_failed_start_is_one_line_and_exit_1(sandbox: SandboxProcess, tmp_path: Path) -> None:
    """Missing keys, a taken port, unusable paths: a reason on stderr, and no traceback."""
    without = run("--port", "0", SANDBOX_CLIENT_ID="MCH-1")
    assert without.returncode == 1
    assert without.stderr == "sandbox: SANDBOX_CLIENT_ID and SANDBOX_SECRET_KEY must be set\n"

    taken = run("--port", str(sandbox.port), **KEYS)
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{sandbox.port}" in taken.stderr

    folder = run("--port", "0", "--state", str(tmp_path), **KEYS)
    assert folder.stderr == f"sandbox: cannot open {tmp_path}: Is a directory\n"
    nowhere = run("--port", "0", "--port-file", str(tmp_path / "no" / "port"), **KEYS)
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (1, 1)
    assert run("--port", "seventy", **KEYS).returncode == 2


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_prints_its_address_and_ends_cleanly(
    tmp_path: Path, name: signal.Signals
) -> None:
    """It prints one line, writes its port file, and exits with 0 on a signal."""
    port_file = tmp_path / "port"
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--port-file", str(port_file)],
        env=os.environ | KEYS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = Lines(process.stdout)
    said.await_line(lambda line: "listening" in line, "where it listens", 30)
    port = int(port_file.read_text())
    assert said.lines == [f"sandbox listening on http://127.0.0.1:{port}"]

    with socket.create_connection(("127.0.0.1", port)):
        process.send_signal(name)
        assert len(said.await_end(30)) == 1
    with process:
        assert process.stderr is not None
        assert (process.wait(30), process.stderr.read()) == (0, "")


@pytest.mark.parametrize(("opened", "status"), [("", b"404"), ("open", b"200")])
def test_control_is_closed_where_others_can_reach_it(
    tmp_path: Path, opened: str, status: bytes
) -> None:
    """On a non-loopback address /_sandbox/ is an unknown path, unless SANDBOX_CONTROL=open."""
    port_file = tmp_path / "port"
    process = subprocess.Popen(
        [*COMMAND, "--host", "0.0.0.0", "--port", "0", "--port-file", str(port_file)],
        env=os.environ | KEYS | {"SANDBOX_CONTROL": opened},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = Lines(process.stdout)
        said.await_line(lambda line: "listening" in line, "where it listens", 30)
        address = ("127.0.0.1", int(port_file.read_text()))
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(b"GET /_sandbox/health HTTP/1.0\r\n\r\n")
            assert connection.recv(1_000).split()[1] == status
    finally:
        process.terminate()
        said.await_end(30)
        with process:
            process.wait(30)


def test_the_sandbox_imports_nothing_of_the_engine() -> None:
    """Two mistakes made separately do not agree: not one module of the engine is loaded."""
    source = (
        "import sys, billing.sandbox.__main__, billing.sandbox.process\n"
        "print(*sorted(m for m in sys.modules if m.split('.')[0] in"
        " {'billing', 'workers', 'schedules'}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()

    assert "billing.sandbox.protocol.gateway" in loaded
    strangers = [m for m in loaded if m != "billing" and not m.startswith("billing.sandbox")]
    assert strangers == []
