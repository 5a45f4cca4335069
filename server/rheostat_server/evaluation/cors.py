"""Which web pages may ask from a browser. Pure."""

Headers = tuple[tuple[bytes, bytes], ...]

_ALLOWED = b"authorization, content-type, if-none-match, x-api-key, rheostat-service, last-event-id, cache-control"
_EXPOSED = b"ETag, Retry-After"
PREFLIGHT_SECONDS = b"600"


class Cors:
    """The origins that are allowed, by configuration only: separated by commas; ``*`` is any; empty is none."""

    def __init__(self, origins: str) -> None:
        self._origins = frozenset(part.strip().rstrip("/").lower() for part in origins.split(",") if part.strip())

    def headers(self, origin: str | None) -> Headers:
        """Return what to add to an answer to this origin."""
        if not self._origins:
            return ()
        vary = (b"vary", b"Origin")
        if origin is None or not self._allows(origin):
            return (vary,)
        return (
            (b"access-control-allow-origin", origin.encode("latin-1", "replace")),
            (b"access-control-expose-headers", _EXPOSED),
            vary,
        )

    def preflight(self, origin: str | None) -> Headers:
        """Return what to answer when a browser asks beforehand."""
        if origin is None or not self._allows(origin):
            return self.headers(origin)
        return (
            *self.headers(origin),
            (b"access-control-allow-methods", b"POST, GET"),
            (b"access-control-allow-headers", _ALLOWED),
            (b"access-control-max-age", PREFLIGHT_SECONDS),
        )

    def _allows(self, origin: str) -> bool:
        return "*" in self._origins or origin.lower() in self._origins
