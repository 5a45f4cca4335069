"""The flags that a server holds while published clients are tried on it: every type, and every way to an answer."""

from typing import Any

ODD_TEXT = 'hello wörld ✓ "q"'
LARGEST_SAFE = 9_007_199_254_740_991
OBJECT = {"a": 1, "b": [1, 2, {"c": True}], "s": "x", "n": None}
SWITCH = {"on": True, "off": False}
METADATA = {"team": "ecommerce", "tier": 1, "beta": True}

CONSTANTS: dict[str, tuple[str, str, Any]] = {
    "conf-bool-on": ("boolean", "on", True),
    "conf-bool-off": ("boolean", "off", False),
    "conf-string": ("string", "greeting", ODD_TEXT),
    "conf-string-empty": ("string", "empty", ""),
    "conf-int": ("integer", "answer", 42),
    "conf-int-zero": ("integer", "zero", 0),
    "conf-int-big": ("integer", "max-safe", LARGEST_SAFE),
    "conf-float": ("float", "f", 3.25),
    "conf-float-whole": ("float", "ten", 10.0),
    "conf-object": ("object", "obj", OBJECT),
    "conf.dots_and-dashes.1": ("boolean", "on", True),
}
"""What always serves the same, by key: type, variant, value."""


def documents() -> list[dict[str, Any]]:
    """Return the documents of all flags. Client-scoped keys see every one but ``conf-server-only``."""
    return [
        *(_flag(key, kind, {variant: value}, {"serve": variant}) for key, (kind, variant, value) in CONSTANTS.items()),
        _flag("conf-metadata", "boolean", SWITCH, {"serve": "on"}, metadata=METADATA),
        _flag("conf-toggle", "boolean", SWITCH, {"serve": "off"}),
        _flag("conf-server-only", "boolean", SWITCH, {"serve": "on"}, client=False),
        _targeted(),
        _split(),
        _flag("conf-disabled", "boolean", SWITCH, {"serve": "on"}, enabled=False),
        _flag(
            "conf-disabled-off",
            "boolean",
            {"on": True, "off": False},
            {"serve": "on"},
            enabled=False,
            off_variant="off",
        ),
    ]


def _flag(
    key: str, kind: str, variants: dict[str, Any], default: dict[str, Any], *, enabled: bool = True, **more: Any
) -> dict[str, Any]:
    production = {"enabled": enabled, "default": default}
    return {
        "kind": "flag",
        "key": key,
        "type": kind,
        "variants": variants,
        "client": True,
        "environments": {"production": production},
        **more,
    }


def _targeted() -> dict[str, Any]:
    flag = _flag(
        "conf-targeted", "string", {name: name for name in ("standard", "gold", "beta")}, {"serve": "standard"}
    )
    flag["environments"]["production"]["rules"] = [
        {"name": "premium", "when": {"attribute": "plan", "operator": "in", "values": ["premium"]}, "serve": "gold"},
        {
            "name": "staff",
            "when": {"attribute": "email", "operator": "ends_with", "values": ["@example.com"]},
            "serve": "beta",
        },
    ]
    return flag


def _split() -> dict[str, Any]:
    rollout = {"exposure": 100, "split": {"a": 1, "b": 1}, "fallback": "a"}
    return _flag("conf-split", "string", {"a": "a", "b": "b"}, {"rollout": rollout})


def other_than(value: Any) -> Any:
    """Return a default of the type of ``value`` that is not it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "fallback"
    return {} if isinstance(value, dict) else -1
