"""Where keys and tokens are kept, hashed. Adapter: postgres."""

from typing import Protocol


class TokenStore(Protocol):
    """Keys and tokens."""
