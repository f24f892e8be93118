"""Which URLs and addresses a webhook may be sent to."""

import pytest

from billing.domain.addresses import Target, is_public, target
from billing.domain.errors import InvalidValue

NOWHERE = frozenset[str]()


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)
def test_public_addresses_are_public(address: str) -> None:
    """Also inside an IPv6 address, where a translator of the network finds them."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fc00::1", "fd00:ec2::254",
        "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0a00:0001", "::127.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "2002:7f00:1::",
        "2001:0:7f00:1::1", "::ffff:0:127.0.0.1",
    ],
)  # fmt: skip
def test_special_addresses_are_not_public(address: str) -> None:
    """Private, loopback, link-local, multicast, reserved, metadata, and their IPv6 forms."""
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://Shop.Example", ("https", "shop.example", 443, "/", "shop.example")),
        ("https://shop.example./h?a=1", ("https", "shop.example", 443, "/h?a=1", "shop.example")),
        ("https://shop.example:8443/h", ("https", "shop.example", 8443, "/h", "shop.example:8443")),
        ("https://8.8.8.8/h", ("https", "8.8.8.8", 443, "/h", "8.8.8.8")),
        (
            "https://[2606:4700::1111]:8443/",
            ("https", "2606:4700::1111", 8443, "/", "[2606:4700::1111]:8443"),
        ),
        ("https://xn--bcher-kva.example/", ("https", "xn--bcher-kva.example", 443, "/",
                                            "xn--bcher-kva.example")),
    ],
)  # fmt: skip
def test_a_good_url_is_divided(url: str, parts: tuple[object, ...]) -> None:
    """Host, port and path, and what the header Host says."""
    found = target(url, NOWHERE)

    assert (*found[:4], found.host_header) == parts
    assert not found.is_allowed


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://shop.example/", "https://"),
        ("ftp://shop.example/", "https://"),
        ("shop.example/hook", "https://"),
        ("https:///hook", "https://"),
        ("https://user@shop.example/", "user"),
        ("https://user:secret@shop.example/", "user"),
        ("https://8.8.8.8@127.0.0.1/", "user"),
        ("https://shop.example/#x", "fragment"),
        ("https://shop.example/a b", "blanks"),
        ("https://shop.example/\r\nX: y", "blanks"),
        ("https://shop.example\\@127.0.0.1/", "backslashes"),
        ("https://bücher.example/", "ASCII"),
        ("https://shop.example:0/", "port"),
        ("https://shop.example:70000/", "port"),
        ("https://shop.example:x/", "port"),
        ("https://shop.example:25/", "port must be"),
        ("https://shop.example:22/", "port must be"),
        ("https://127.0.0.1/", "public"),
        ("https://[::1]/", "public"),
        ("https://[::ffff:10.0.0.1]/", "public"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://[::1/", "host"),
        ("https://2130706433/", "neither"),
        ("https://0x7f000001/", "neither"),
        ("https://0x7f.1/", "neither"),
        ("https://127.1/", "neither"),
        ("https://0177.0.0.1/", "neither"),
        ("https://shop..example/", "neither"),
        ("https://-shop.example/", "neither"),
        ("https://shop.example/" + "x" * 2000, "at most"),
    ],
)
def test_a_bad_url_is_refused_without_being_repeated(url: str, said: str) -> None:
    """The message says what is wrong; a URL may contain a secret of the receiver."""
    with pytest.raises(InvalidValue, match=said) as refused:
        target(url, NOWHERE)

    assert url not in str(refused.value)


def test_an_allowed_host_may_be_plain_and_private() -> None:
    """For development: http, any port and any address, for the named hosts only."""
    allowed = frozenset({"127.0.0.1", "receiver.test"})

    assert target("http://127.0.0.1:90/h", allowed) == Target(
        "http", "127.0.0.1", 90, "/h", is_allowed=True
    )
    assert target("http://Receiver.test./", allowed).host == "receiver.test"
    with pytest.raises(InvalidValue):
        target("http://127.0.0.2/", allowed)
