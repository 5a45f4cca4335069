"""A message as Slack, Mattermost and others with such webhooks take it. Pure."""

import re
from typing import Any

from rheostat_server.notifications.message import Message
from rheostat_server.notifications.words import facts, guardrail_lines, headline, more_line, repeats_line

_HEADER, _SECTION, _FIELD, _MOST_FIELDS = 150, 3000, 2000, 10
_TEXT = 4000
_CALLS = re.compile(r"@(?=(?:all|channel|everyone|here)\b)", re.IGNORECASE)
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_CUT = "…"


def slack_payload(message: Message) -> dict[str, Any]:
    """Return the payload: blocks, and the same in ``text`` for those that show no blocks."""
    known = [("*" + _plain(name) + "*\n" + _plain(value)) for name, value in facts(message)]
    said = [part for part in (message.why, repeats_line(message)) if part]
    lines = guardrail_lines(message)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(headline(message), _HEADER), "emoji": False}}
    ]
    if said:
        blocks.append(_section(_fitting(said, _SECTION)))
    blocks.append({"type": "section", "fields": [_markdown(field[:_FIELD]) for field in known[:_MOST_FIELDS]]})
    if lines:
        blocks.append(_section(_fitting(lines, _SECTION)))
    link = f"<{_plain(message.link)}|open>" if message.link else ""
    command = more_line(message)
    ways = "  ".join(part for part in (link, f"`{_plain(command)}`" if command else "") if part)
    if ways:
        blocks.append(_section(ways))
    text = _fitting([headline(message), *said, *lines], _TEXT - len(ways) - 1)
    return {"text": f"{text}\n{ways}" if ways else text, "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _markdown(text)}


def _markdown(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def _fitting(lines: list[str], most: int) -> str:
    """Return the lines, escaped; as many characters of them as fit. No escape is cut in two."""
    text = "\n".join(lines)
    if len(_plain(text)) <= most:
        return _plain(text)
    kept, room = [], most - len(_CUT)
    for character in text:
        escaped = character.translate(_ESCAPED)
        room -= len(escaped) + (character == "@")
        if room < 0:
            break
        kept.append(character)
    return _plain("".join(kept)) + _CUT


def _plain(text: str) -> str:
    # A zero-width space after the @: a reason must not call everybody in the room.
    return _CALLS.sub("@\u200b", text.translate(_ESCAPED))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + _CUT
