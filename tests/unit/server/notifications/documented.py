"""The verification of a webhook as its receivers read it in the reference."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "notifications.md"


def documented_verify() -> Callable[..., str]:
    """Return the function ``verify`` of the page."""
    [source] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec"), names)
    verify: Callable[..., str] = names["verify"]
    return verify


def verified(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Return the id of a webhook that is signed with the secret, or raise ``ValueError``."""
    return documented_verify()(secret, headers, body, now=now_s)
