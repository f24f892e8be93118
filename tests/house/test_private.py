"""The tree contains no trace of its authors or machines, and no credentials."""

import re

import pytest

from tests.house.tree import tracked_texts

PATTERNS = {
    "a path of a machine": r"(?<![\w.}])/(?:(?:home|root|work|Users)/\w|opt/(?!billing)\w)",
    "a package registry": r"(?i)\b(?:pypi|nexus|artifactory|devpi|registry)[\w-]*\.[\w.-]*[a-z]{2,}"
    r"|--(?:extra-)?index-url|//[^/\s]+\.(?:internal|lan|corp|local)\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a token of a known service": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}"
    r"|\bxox[abp]-\w+|\bsk_live_\w+|\bSK-\w{16,}|\beyJ[\w-]{20,}\.",
    "a key that could be in use": r"(?i)(?:key|secret|password|token)\w*[\"']?\s*[:=]\s*b?[\"']?"
    r"[\w-]{43}=",
}
EMAIL = re.compile(r"[\w.+-]+@[\w-]{2,}(?:\.[\w-]+)*\.[a-z]{2,}")
URL = re.compile(r"\w+://\S+")
NOBODY = re.compile(r"@(?:[\w-]+\.)*example(?:\.|$)|@users\.noreply\.")
# Stands in the samples of DOKU's API page, which the sandbox is tried with unchanged.
API_PAGE = {"cobacobacoba9999@gmail.com"}


@pytest.mark.parametrize("what", PATTERNS)
def test_no_file_contains(what: str) -> None:
    """A clone shows nothing about its authors, and contains no credentials."""
    pattern = re.compile(PATTERNS[what])
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]

    assert found == []


def test_no_file_contains_an_address_of_a_person() -> None:
    """E-mail addresses are examples, or those of the API page."""
    found = {
        f"{name}: {address}"
        for name, text in tracked_texts()
        for line in text.splitlines()
        if "@" in line
        for address in EMAIL.findall(URL.sub("", line))
        if not NOBODY.search(address) and address not in API_PAGE
    }

    assert found == set()
