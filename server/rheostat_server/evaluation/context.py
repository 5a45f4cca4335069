"""From a request's JSON to an evaluation context. Pure."""

from typing import Any

import msgspec

from rheostat.errors import InvalidContext
from rheostat.model.context import TARGETING_KEY, Context

BODY_BYTES = 64 << 10
"""The most that a request may be."""

DEPTH = 32
"""The most that attributes may be nested."""


class BadRequest(Exception):
    """The request cannot be evaluated. ``code`` is OpenFeature's."""

    def __init__(self, code: str, details: str) -> None:
        self.code = code
        self.details = details
        super().__init__(details)


def read_context(body: bytes) -> tuple[Context, dict[str, Any]]:
    """Return the context in ``{"context": {…}}``, and as it was sent.

    Unknown fields beside the context are ignored. A null attribute counts as missing, and so does a null or absent
    targeting key: flags that need none must evaluate.

    Raises:
        BadRequest: the body is not JSON (PARSE_ERROR), or the context has another shape (INVALID_CONTEXT).
    """
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("PARSE_ERROR", f"the body is not JSON: {_reason(body, error)}") from error
    sent = request.get("context") if isinstance(request, dict) else None
    if not isinstance(sent, dict):
        raise BadRequest("INVALID_CONTEXT", 'the body needs a "context" that is an object')
    attributes = dict(sent)
    key = attributes.pop(TARGETING_KEY, None)
    try:
        for name, value in attributes.items():
            _check(name, value, 1)
        return Context.of(key, attributes), sent
    except InvalidContext as error:
        raise BadRequest("INVALID_CONTEXT", str(error)) from error


def _reason(body: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error) if body else "it is empty"


def _check(path: str, value: Any, depth: int) -> None:
    """Refuse an attribute that no condition could ever read; silence would look like a rule that does not match."""
    if isinstance(value, dict):
        if depth > DEPTH:
            # Not the whole path, which is as long as it is deep.
            name, _, _ = path.partition(".")
            raise BadRequest("INVALID_CONTEXT", f"{name}: an attribute is nested more than {DEPTH} deep")
        for name, inner in value.items():
            _check(f"{path}.{name}", inner, depth + 1)
    elif isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise BadRequest("INVALID_CONTEXT", f"{path}: a list must hold texts only")
