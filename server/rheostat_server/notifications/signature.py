"""How webhooks are signed: the Standard Webhooks convention, symmetric (``v1``). Pure."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64

PREFIX = "whsec_"
SECRET_BYTES = 32
_SHORTEST, _LONGEST = 24, 64


def secret_of(random_bytes: bytes) -> str:
    """Return a secret as people pass it on."""
    return PREFIX + b64encode(random_bytes).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: it is not ``whsec_`` and 24 … 64 bytes in Base64.
    """
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (NotBase64, ValueError) as error:
        raise ValueError("it is not Base64") from error
    if not secret.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"a secret is {PREFIX} and {_SHORTEST} … {_LONGEST} bytes in Base64")
    return key


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return ``v1,…`` of what was signed: id, seconds since the epoch, and body, with dots between them."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def signed_headers(secrets: tuple[str, ...], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver knows who sent it, and when. One good signature of several is enough."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }
