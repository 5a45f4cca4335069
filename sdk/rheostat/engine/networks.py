"""IP addresses and the CIDR blocks that hold them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def network(text: object) -> IPv4Network | IPv6Network | None:
    """Return the block; ``None`` for what is not one. An address alone is the block of itself."""
    if not isinstance(text, str):
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def address(text: object) -> IPv4Address | IPv6Address | None:
    """Return the address; ``None`` for what is not one. An IPv4 address mapped into IPv6 is the IPv4 one."""
    if not isinstance(text, str):
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def holds(networks: Iterable[IPv4Network | IPv6Network], found: IPv4Address | IPv6Address) -> bool:
    """Return whether one of the blocks holds the address; one of the other family never does."""
    return any(found in block for block in networks)


def is_block(text: object) -> bool:
    """Return whether the text is an address, or a block without bits beyond its prefix."""
    if not isinstance(text, str):
        return False
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
