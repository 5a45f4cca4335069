"""Which network addresses a notification may be sent to: public ones, and those that the operator allows. Pure."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

EVERYWHERE: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address that a gateway may send to."""
_PROTOCOLS = IPv4Network("192.0.0.0/24")
"""For protocols between machines, one cloud's metadata among them; some Pythons call only parts of it private."""
_METADATA = frozenset({IPv4Address("168.63.129.16"), IPv4Address("100.100.100.200")})
"""Where clouds answer questions about a machine, with credentials, at addresses that look public or nearly so."""


def allowed_networks(text: str) -> tuple[Network, ...]:
    """Return the networks that a setting allows beside public ones: ``true`` all, ``false`` or nothing none.

    Raises:
        ValueError: it is neither of these nor networks with commas between them.
    """
    word = text.strip().lower()
    if word in {"", "false"}:
        return ()
    if word == "true":
        return EVERYWHERE
    return tuple(ip_network(part.strip()) for part in text.split(","))


def refusal(address: str, allowed: Iterable[Network]) -> str | None:
    """Return why nothing may be sent to an address, in words; ``None`` where it may.

    An IPv6 address that stands for an IPv4 one is judged as that.
    """
    outer = ip_address(address.partition("%")[0])
    inner = _meant(outer)
    if any(one.version == network.version and one in network for one in (outer, inner) for network in allowed):
        return None
    kind = _kind(inner)
    if kind is None:
        return None
    stands = f" (that is {inner})" if inner != outer else ""
    return f"{address}{stands} is {kind}"


def first_refusal(addresses: Sequence[str], allowed: Sequence[Network]) -> str | None:
    """Return why nothing may be sent to a name that has these addresses: one that is refused is enough."""
    return next((why for address in addresses if (why := refusal(address, allowed)) is not None), None)


def _meant(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    # :: and ::1 are their own.
    if int(address) > 1 and any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _kind(address: Address) -> str | None:
    if address in _METADATA:
        return "a cloud's metadata service"
    for named, is_so in (
        ("unspecified", address.is_unspecified),
        ("loopback (this machine)", address.is_loopback),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("private", address.is_private),
        ("private", isinstance(address, IPv6Address) and address.is_site_local),
        ("reserved", address.is_reserved or address in _PROTOCOLS),
        ("shared by a carrier's customers, or reserved", not address.is_global),
    ):
        if is_so:
            return named
    return None
