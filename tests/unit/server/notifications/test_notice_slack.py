"""A message as Slack and Mattermost take it."""

import json
from typing import Any

from rheostat_server.notifications.slack import slack_payload
from tests.unit.server.notifications.notices import ERRORS, a_message


def texts(payload: dict[str, Any]) -> list[str]:
    found = [payload["text"]]
    for block in payload["blocks"]:
        found += [part["text"] for part in (block.get("text"), *block.get("fields", [])) if part]
    return found


def test_blocks_and_the_same_in_text() -> None:
    """The headline, why, figures and link are in the blocks, and in ``text`` for those that know no blocks."""
    payload = slack_payload(a_message())

    header, why, fields, guardrails, link = payload["blocks"]
    assert header["text"] == {"type": "plain_text", "text": "checkout-v2 killed in production", "emoji": False}
    assert why["text"]["text"] == "errors: 61 users newly failed, M crossed 100"
    assert {"type": "mrkdwn", "text": "*exposure*\n10 % → 0 %"} in fields["fields"]
    assert "M 131 of 100" in guardrails["text"]["text"]
    command = "`rheostat ramp status checkout-v2 -p default -e production`"
    assert link["text"]["text"] == f"<{a_message().link}|open>  {command}"
    for part in ("checkout-v2 killed in production", "61 users newly failed", "M 131 of 100", a_message().link):
        assert part in payload["text"]


def test_what_people_wrote_is_text_alone() -> None:
    """``&``, ``<`` and ``>`` are escaped, so that no link or call is made of a reason, and an @ calls nobody."""
    payload = slack_payload(a_message(why="<!channel> & <https://evil.example|click> @here @channel ana@example.com"))
    for text in texts(payload):
        assert "<!channel>" not in text
        assert "<https://evil" not in text
        assert "@here" not in text
        assert "@channel" not in text
    assert "&lt;!channel&gt; &amp; " in payload["text"]
    assert "ana@example.com" in payload["text"]


def test_lengths_stay_within_slacks_limits() -> None:
    """However long a reason and however many guardrails, nothing is longer than Slack takes, and no escape is cut."""
    message = a_message(why="&" * 5000, flag="f" * 128, environment="e" * 128, guardrails=(ERRORS,) * 40, repeats=2)
    payload = slack_payload(message)

    assert len(payload["text"]) <= 4000
    assert len(payload["blocks"]) <= 50
    for block in payload["blocks"]:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        elif "fields" in block:
            assert len(block["fields"]) <= 10
            assert all(len(field["text"]) <= 2000 for field in block["fields"])
        else:
            assert 0 < len(block["text"]["text"]) <= 3000
    for text in texts(payload):
        assert "&" not in text.replace("&amp;", "")
    assert json.loads(json.dumps(payload)) == payload


def test_a_message_with_little_to_say() -> None:
    """No block is empty, which Slack would refuse."""
    payload = slack_payload(
        a_message(event="test", why="", guardrails=(), ramp=None, exposure=None, kill=None, link="")
    )
    assert all(texts(payload))
    assert len(payload["blocks"]) == 2
