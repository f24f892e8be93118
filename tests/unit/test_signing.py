"""The signature against DOKU's own algorithm, by vectors reproduced with independent tools."""

import base64

import pytest

from billing.gateway import signing

CLIENT_ID = "MCH-0001-10791114622547"
REQUEST_ID = "15022aab-444f-4b04-afa8-ddfce89432ec"
STAMP = "2020-08-11T08:45:42Z"
SECRET = b"unit-test-secret-key"
PAY = "/ovo-open-api/v1/payment-recurring"
PAY_BODY = (
    b'{"order":{"invoice_number":"INVR_2021_7105","amount":100000},'
    b'"ovo_account":{"token_id":"c15d437b56b918abaa3951b0beb48a57"}}'
)
ANSWER_BODY = (
    b'{"order":{"invoice_number":"INVR_2021_7105","amount":100000},"payment":{"status":"SUCCESS"}}'
)
NOTICE_BODY = (
    b'{"order":{"invoice_number":"INVR_2021_7105","amount":100000.00},"transaction":'
    b'{"status":"SUCCESS","date":"2020-08-11T08:45:40Z",'
    b'"original_request_id":"15022aab-444f-4b04-afa8-ddfce89432ec"}}'
)
PAY_SIGNATURE = b"HMACSHA256=cw8mousSklhMtMLG4sXV0scLiLpx/IlcMaznIUtqq08="


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (b"", b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        (b"{}", b"RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="),
        (PAY_BODY, b"eTeEbCkZ0vg4rgyxRcicdgJ7FJPMiV8EfJp5IvRLS6M="),
        (ANSWER_BODY, b"x2YF0OwH3VrWbAWXRWItHdXBRr3FOEBl1QHFB0g+g9A="),
        (NOTICE_BODY, b"xfFhuPllBoBwoY+bQGyn/fn1+nhNztUWaggBn8a5gOo="),
    ],
)
def test_digest_covers_the_exact_bytes(body: bytes, digest: bytes) -> None:
    """A digest is base64 of SHA-256 over the body as it travels, an empty one included."""
    assert signing.digest(body) == digest


def test_published_request_vector_is_reproduced() -> None:
    """V0: a public client's vector, with the digest DOKU prints for a body it does not show."""
    component = signing.request_component(
        CLIENT_ID,
        "cc682442-6c22-493e-8121-b9ef6b3fa728",
        STAMP,
        "/doku-virtual-account/v2/payment-code",
        b"5WIYK2TJg6iiZ0d5v4IXSR0EkYEkYOezJIma3Ufli5s=",
    )

    expected = b"HMACSHA256=tIU65SJi4/ZPvvvDLNEvv71dlebEXscSGe/H2rSmTZI="
    assert signing.sign(SECRET, component) == expected


def test_payment_request_vector_is_reproduced() -> None:
    """V1: a POST has five lines, no blank after a colon, and no newline at the end."""
    component = signing.request_component(
        CLIENT_ID, REQUEST_ID, STAMP, PAY, signing.digest(PAY_BODY)
    )

    assert len(PAY_BODY) == 123
    assert len(component) == 222
    assert component.count(b"\n") == 4
    assert signing.sign(SECRET, component) == PAY_SIGNATURE


def test_get_request_vector_has_no_digest_line() -> None:
    """V2: a GET signs four lines; the digest line is left out, not left empty."""
    component = signing.request_component(
        CLIENT_ID, REQUEST_ID, STAMP, "/orders/v1/status/INVR_2021_7105"
    )

    assert len(component) == 168
    assert component.count(b"\n") == 3
    expected = b"HMACSHA256=dLGej4SpQ+g0C49YOHolHM0YiNk0zyeRMEtgUvN3e60="
    assert signing.sign(SECRET, component) == expected


def test_response_vector_is_verified() -> None:
    """V3: an answer is signed with its own time under its own name, and the path we called."""
    component = signing.response_component(
        CLIENT_ID, REQUEST_ID, STAMP, PAY, signing.digest(ANSWER_BODY)
    )

    signature = b"HMACSHA256=NyR7V0a9Sxf6Y2seGHTOOudAmgbWjfIYwAF5OzcEYdE="
    assert signing.verify(SECRET, component, signature)


def test_notification_vector_is_verified() -> None:
    """V4: a notification is signed like a request, to the path of our own URL."""
    component = signing.notification_component(
        CLIENT_ID, REQUEST_ID, STAMP, "/payments/notifications", signing.digest(NOTICE_BODY)
    )

    signature = b"HMACSHA256=9gGL0U6m9VB9znwNm28IdM99xmtZo/dd5BMOP8bpeDk="
    assert signing.verify(SECRET, component, signature)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"HMACSHA256=",
        PAY_SIGNATURE.removeprefix(b"HMACSHA256="),
        PAY_SIGNATURE.replace(b"HMACSHA256", b"HMACHSHA256"),
        PAY_SIGNATURE.lower(),
        PAY_SIGNATURE[:-1],
        PAY_SIGNATURE + b"=",
        PAY_SIGNATURE + b", " + PAY_SIGNATURE,
        b"HMACSHA256=" + base64.b64encode(b"\0" * 32),
        b"HMACSHA256=" + base64.b64encode(b"\0" * 31),
        b"HMACSHA256=" + "é".encode(),
        b"HMACSHA256=vl9DBTX5KhEiXmnpOD0TSm8PYQknuHPdyHSTSc3W6Ps=",
    ],
)
def test_any_other_signature_is_refused(signature: bytes) -> None:
    """No prefix, another prefix, bad base64, a wrong length or wrong bytes: never an exception."""
    component = signing.request_component(
        CLIENT_ID, REQUEST_ID, STAMP, PAY, signing.digest(PAY_BODY)
    )

    assert signing.verify(SECRET, component, PAY_SIGNATURE)
    assert not signing.verify(SECRET, component, signature)


def test_a_changed_byte_of_the_body_breaks_the_signature() -> None:
    """A signature holds for one body only."""
    changed = PAY_BODY.replace(b"100000", b"100001")
    component = signing.request_component(
        CLIENT_ID, REQUEST_ID, STAMP, PAY, signing.digest(changed)
    )

    assert not signing.verify(SECRET, component, PAY_SIGNATURE)
