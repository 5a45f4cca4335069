"""The address of the operator's SMTP server, as a URL says it. Pure."""

from email.errors import MessageError
from email.headerregistry import Address
from email.utils import getaddresses
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

_PORTS = {"smtp": 25, "smtps": 465}
_STARTTLS = ("auto", "required", "off")
_LONGEST = 254


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """An SMTP server. ``tls``: from the first byte on. ``starttls``: ``required``, ``off``, or ``auto``, if offered."""

    host: str
    port: int
    tls: bool
    starttls: str
    username: str | None = None
    password: str | None = None


def smtp_server(url: str) -> SmtpServer:
    """Return the server that ``smtps://user:password@host:465`` or ``smtp://host:587?starttls=required`` names.

    With a password STARTTLS is required unless the URL says otherwise: it must not go over the wire as it is by chance.

    Raises:
        ValueError: it is no such URL. The message has no part of it, for it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
        asked = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError as error:
        raise ValueError("it does not parse") from error
    if parts.scheme not in _PORTS or not host or parts.path not in {"", "/"} or parts.fragment:
        raise ValueError("it is not of the form smtp[s]://[user:password@]host[:port]")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("give the user and the password, or neither")
    if set(asked) - {"starttls"}:
        raise ValueError("starttls is all that it may ask for")
    [starttls] = asked.get("starttls", ["auto" if parts.password is None else "required"])[:1]
    if starttls not in _STARTTLS:
        raise ValueError(f"starttls is one of {', '.join(_STARTTLS)}")
    return SmtpServer(
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "smtps",
        starttls=starttls,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def mailbox(text: str) -> tuple[str, str]:
    """Return the name and the address of ``Rheostat <flags@example.com>`` or ``flags@example.com``.

    Raises:
        ValueError: it is not one address of printable ASCII with a domain.
    """
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable():
        raise ValueError("it is not one address")
    name, address = found[0]
    try:
        parsed = Address(addr_spec=address)
    except (MessageError, ValueError, IndexError, AttributeError) as error:
        raise ValueError("it is not an e-mail address") from error
    plain = address.isascii() and not any(letter in address for letter in '"()<>,;: \\')
    if not plain or not parsed.username or not parsed.domain or len(address) > _LONGEST:
        raise ValueError("it is not an e-mail address")
    return name, address
