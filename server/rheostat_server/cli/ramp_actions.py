"""What a person may do to a ramp where it stands, as commands."""

from typing import Any

_OF_THE_FLAG = frozenset({"kill", "revive"})


def may_now(view: dict[str, Any]) -> str:
    """Return the commands that the API's view of a ramp allows now, in one line; empty where it does not tell."""
    if "actions" not in view:
        return ""
    groups: dict[str, list[str]] = {}
    for action in view["actions"]:
        groups.setdefault("flag" if action in _OF_THE_FLAG else "ramp", []).append(action)
    commands = [f"rheostat {group} {'|'.join(actions)} {view['flag']}" for group, actions in groups.items()]
    return f"Now you may: {'; '.join(commands)}" if commands else "It is over; nothing more can be done to it."
