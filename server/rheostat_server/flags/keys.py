"""What a key may look like: of flags, variants, environments, segments, rules; and salts. Pure."""

import re
from typing import Final

from rheostat_server.faults import Fields

A_KEY: Final = "such as checkout-v2"
_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def is_key(text: str) -> bool:
    """Return whether the text is a key: 1 to 128 of letters, digits, dot, underscore and hyphen."""
    return _KEY.fullmatch(text) is not None


def key_fault(what: str) -> str:
    """Return what to say of a key that is none."""
    return f"a {what} is 1 to 128 characters of A-Z a-z 0-9 . _ -"


def key_at(fields: Fields, name: str, what: str) -> str | None:
    """Return the key in a field; ``None`` where it is absent or faulty."""
    text = fields.text(name)
    if text is not None and not is_key(text):
        fields.fault(name, key_fault(what), A_KEY)
        return None
    return text
