"""Codes of an app: the vectors of RFC 6238, early, late and used ones."""

from base64 import b32decode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from billing.store import second_factor

RFC_KEY = b"12345678901234567890"
STEP = timedelta(seconds=30)
NOW = datetime.fromtimestamp(1_111_111_109, UTC)
CODE = "081804"
"""RFC 6238, appendix B: 07081804 at this second; the app shows the last six digits."""


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"),
     (1_234_567_890, "005924"), (2_000_000_000, "279037"), (20_000_000_000, "353130")],
)  # fmt: skip
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, SHA-1."""
    at = datetime.fromtimestamp(seconds, UTC)

    assert second_factor.step_of(RFC_KEY, code, at, None) == seconds // 30


@pytest.mark.parametrize(("late", "accepted"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_code_is_accepted_one_step_early_or_late(late: int, *, accepted: bool) -> None:
    """Clocks of phones differ by some seconds, and not by minutes."""
    found = second_factor.step_of(RFC_KEY, CODE, NOW + late * STEP, None)

    assert (found is not None) is accepted


def test_a_code_is_accepted_once() -> None:
    """Not again, and no earlier code after it; the next one is."""
    step = second_factor.step_of(RFC_KEY, CODE, NOW, None)

    assert step is not None
    assert second_factor.step_of(RFC_KEY, CODE, NOW, step) is None
    assert second_factor.step_of(RFC_KEY, CODE, NOW, step + 1) is None
    assert second_factor.step_of(RFC_KEY, CODE, NOW, step - 1) == step


@pytest.mark.parametrize("code", ["", "0", "08180", "0818044", "०८१८०४", "081805", "x" * 10_000])
def test_anything_else_is_wrong(code: str) -> None:
    """No code, a shorter or longer one, digits of another script."""
    assert second_factor.step_of(RFC_KEY, code, NOW, None) is None


def test_spaces_in_a_code_are_ignored() -> None:
    """Apps show codes in two groups of three."""
    assert second_factor.step_of(RFC_KEY, " 081 804\t", NOW, None) is not None


def test_the_address_for_an_app_has_the_secret_and_the_name() -> None:
    """A QR code of it is read by every app."""
    key = second_factor.new_key()

    found = urlsplit(second_factor.address(key, "Ani & Budi"))

    assert (found.scheme, found.netloc) == ("otpauth", "totp")
    assert found.path == "/ovo-billing:Ani%20%26%20Budi"
    [secret] = parse_qs(found.query)["secret"]
    assert b32decode(secret) == key
    assert secret == second_factor.written(key)
