"""The vault: sealed values are opened by the keys of the settings, and by no other key."""

import pytest
from cryptography.fernet import Fernet

from billing.domain.errors import NotConfigured
from billing.store.vault import Vault

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
TOKEN = b"token-of-a-wallet"


def test_a_sealed_value_is_opened_and_never_sealed_the_same_twice() -> None:
    """A value is opened unchanged; its ciphertext shows neither it nor that two are equal."""
    vault = Vault([NEW])
    one, two = vault.seal(TOKEN), vault.seal(TOKEN)

    assert one != two
    assert TOKEN not in one
    assert vault.open(one) == vault.open(two) == TOKEN
    assert vault.open(vault.seal(b"")) == b""


def test_keys_rotate() -> None:
    """The first key seals; the older keys still open."""
    sealed = Vault([OLD]).seal(TOKEN)
    both = Vault([NEW, OLD])

    assert both.open(sealed) == TOKEN
    assert Vault([NEW]).open(both.seal(TOKEN)) == TOKEN
    with pytest.raises(NotConfigured, match="add the key it was sealed with"):
        Vault([OLD]).open(both.seal(TOKEN))


def test_a_value_in_another_format_is_refused() -> None:
    """Its first byte says how a value was sealed; a plain Fernet token is not ours."""
    with pytest.raises(NotConfigured, match="BILLING_TOKEN_KEY"):
        Vault([NEW, OLD]).open(Fernet(OLD).encrypt(TOKEN))


def test_a_changed_value_is_not_opened() -> None:
    """A changed, missing or additional byte is detected."""
    vault = Vault([NEW, OLD])
    sealed = vault.seal(TOKEN)
    changed = [sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :] for n in range(len(sealed))]

    for value in (*changed, *(sealed[:n] for n in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(NotConfigured):
            vault.open(value)


def test_a_hash_finds_a_value_and_tells_nothing_of_it() -> None:
    """The same value has the same hash under a key, another one under another, and is not in it."""
    one, two = Vault([NEW]).hashes(TOKEN), Vault([NEW, OLD]).hashes(TOKEN)

    assert two[:1] == one
    assert two[1:] == Vault([OLD]).hashes(TOKEN)
    assert len({*two, *Vault([NEW]).hashes(b"another")}) == 3
    assert all(TOKEN not in each for each in two)
    assert one[0].startswith(Vault([NEW, OLD]).hash_prefix)
    assert not two[1].startswith(Vault([NEW, OLD]).hash_prefix)
