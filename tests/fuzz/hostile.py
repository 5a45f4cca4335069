"""Requests that nobody would send on purpose, made from the API's own description and a seed."""

import json
import random
from typing import Any, NamedTuple
from urllib.parse import quote

TEXTS = (
    "", " ", "a", "checkout", "on", "off", "production", "default", "a/b", "..", "%00", "a\x00b", "\ud800", "é😀",
    "\u202e", "x" * 129, "x" * 3000, "-1", "null", "NaN", "'; --", "{{7*7}}", "2026-13-45", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "99999999999d", "24h", "0s", "-1h", "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2,
    100,
    101,
    0.00001,
    33.33333,
    -0.0,
    1e308,
    5e-324,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    10**400,
)
BODIES = (
    b"", b"null", b"0", b"[]", b'""', b"{", b"{}", b"\xff\xfe", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a": 1e999}',
    b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"a": "' + b"x" * (2 << 20) + b'"}', b"{} {}", b"9" * 5000, b'{"\\ud800": 1}', b"\x00", b"<xml/>",
)  # fmt: skip
HEADERS = (
    {"if-match": '"0"'}, {"if-match": "*"}, {"if-match": 'W/"1", "2"'}, {"if-match": "x"},
    {"if-match": '"' + "9" * 400 + '"'}, {"if-none-match": "*"}, {"if-none-match": '"1"'},
    {"content-type": "text/plain"}, {"content-type": "application/xml"}, {"content-encoding": "gzip"},
    {"accept": "text/html"}, {"expect": "nothing"}, {"range": "bytes=0-1"}, {"last-event-id": "x-y"},
    {"rheostat-batch-age-ms": "-1"}, {"x-http-method-override": "DELETE"},
)  # fmt: skip


class Sent(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


class Maker:
    """Makes requests. ``known`` are values of path parameters that lead somewhere."""

    def __init__(self, described: dict[str, Any], known: dict[str, str], seed: int) -> None:
        self._described = described
        self._known = known
        self._random = random.Random(seed)

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return every operation with a path, in order."""
        return [
            (method, path, item[method])
            for path, item in sorted(self._described["paths"].items())
            for method in ("get", "put", "post", "patch", "delete")
            if method in item
        ]

    def request(self, method: str, path: str, operation: dict[str, Any]) -> Sent:
        """Return a request to an operation: mostly of the right form, with one or two things wrong."""
        query = []
        for parameter in operation.get("parameters") or ():
            name = parameter["name"]
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", quote(self._place(name), safe=""))
            elif parameter["in"] == "query" and self._often(0.3):
                query.append(f"{quote(name)}={quote(self._text().encode('utf-8', 'surrogatepass'))}")
        form = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        body = b"" if form is None else self._body(form)
        headers = dict(self._random.choice(HEADERS)) if self._often(0.2) else {}
        return Sent(method.upper(), path + ("?" + "&".join(query) if query else ""), body, headers)

    def context(self) -> bytes:
        """Return a body for OFREP."""
        if self._often(0.2):
            return self._random.choice(BODIES)
        attributes = {self._text(): self._anything(2) for _ in range(self._random.randrange(4))}
        return _json({"context": {"targetingKey": self._anything(1), **attributes}})

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _text(self) -> str:
        return self._random.choice(TEXTS)

    def _place(self, name: str) -> str:
        if self._often(0.75):
            return self._known.get(name, "default")
        return self._text().encode("utf-8", "replace").decode() or "x"

    def _body(self, form: dict[str, Any]) -> bytes:
        if self._often(0.2):
            return self._random.choice(BODIES)
        return _json(self._of(form, 0))

    def _of(self, form: dict[str, Any], depth: int) -> Any:
        if self._often(0.06) or depth > 8:
            return self._anything(2)
        if "$ref" in form:
            name = form["$ref"].rpartition("/")[2]
            return self._of(self._described["components"]["schemas"][name], depth + 1)
        for several in ("anyOf", "oneOf"):
            if several in form:
                return self._of(self._random.choice(form[several]), depth + 1)
        if "enum" in form:
            return self._random.choice(form["enum"])
        kind = form.get("type")
        if kind == "object":
            return self._object(form, depth)
        if kind == "array":
            items = form.get("items") or {}
            return [
                self._of(items if isinstance(items, dict) else {}, depth + 1) for _ in range(self._random.randrange(3))
            ]
        if kind == "string":
            return self._known.get("key", "x") if self._often(0.4) else self._text()
        if kind in ("integer", "number"):
            return self._random.choice(NUMBERS)
        if kind == "boolean":
            return self._often(0.5)
        return None if kind == "null" else self._anything(2)

    def _object(self, form: dict[str, Any], depth: int) -> dict[str, Any]:
        required = form.get("required", ())
        made = {
            name: self._of(inner, depth + 1)
            for name, inner in form.get("properties", {}).items()
            if self._often(0.95 if name in required else 0.4)
        }
        more = form.get("additionalProperties")
        if isinstance(more, dict):
            made |= {self._random.choice(("on", "off", "production", self._text())): self._of(more, depth + 1)}
        if self._often(0.05):
            made[self._text()] = self._anything(1)
        return made

    def _anything(self, depth: int) -> Any:
        kinds: list[Any] = [None, True, False, self._text(), self._random.choice(NUMBERS)]
        if depth:
            kinds += [[self._anything(depth - 1)], {self._text(): self._anything(depth - 1)}]
        return self._random.choice(kinds)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
