"""Where a notification may be sent."""

import pytest

from rheostat_server.notifications.addresses import EVERYWHERE, allowed_networks, first_refusal, refusal

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
    "2001:0:1:2:3:4:f5ff:fffe",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
]
PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused_and_said(address: str) -> None:
    """In whatever form it is written, an address of this machine, its network or a cloud's inside is refused."""
    why = refusal(address, ())
    assert why is not None
    assert why.startswith(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not(address: str) -> None:
    """What is routed in public may be sent to."""
    assert refusal(address, ()) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_all_can_be_allowed(address: str) -> None:
    """``true`` allows every address."""
    assert allowed_networks(" True ") == EVERYWHERE
    assert refusal(address, EVERYWHERE) is None


def test_networks_can_be_allowed_one_by_one() -> None:
    """A network that is named is allowed, also where an IPv6 address stands for one of it; no other is."""
    allowed = allowed_networks("10.0.0.0/8, fd12::/16")
    assert refusal("10.9.9.9", allowed) is None
    assert refusal("::ffff:10.9.9.9", allowed) is None
    assert refusal("fd12::1", allowed) is None
    assert refusal("11.0.0.1", allowed) is None
    assert refusal("192.168.1.1", allowed) is not None
    assert refusal("127.0.0.1", allowed) is not None


def test_one_refused_address_of_a_name_is_enough() -> None:
    """A name with a public and a private address would lead to either."""
    assert first_refusal(["1.1.1.1", "10.0.0.1"], ()) == "10.0.0.1 is private"
    assert first_refusal(["1.1.1.1"], ()) is None


@pytest.mark.parametrize("text", ["yes", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8;", "true,10.0.0.0/8"])
def test_what_allows_nothing_sensible_is_an_error(text: str) -> None:
    """A mistake must not allow more, or less, than was meant."""
    with pytest.raises(ValueError, match=r".+"):
        allowed_networks(text)


@pytest.mark.parametrize("text", ["", "false", "FALSE "])
def test_nothing_is_allowed_by_default(text: str) -> None:
    """Without a word private addresses are refused."""
    assert allowed_networks(text) == ()
