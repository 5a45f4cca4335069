"""What to do now that a ramp is over, or has not begun."""

from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import Lines, Look, folded
from rheostat_server.cli.ramp_picture.moments import stamp

KILLED_PAGE = "docs/how-to/it-killed-my-flag.md"


def ending(view: dict[str, Any], look: Look) -> Lines:
    """Return what is served now, and the commands for what comes next; nothing while the ramp goes on."""
    lines: Lines = []
    for text in _sentences(view):
        lines += folded(Text(text), look)
    for command, what in _commands(view):
        lines += folded(Text.assemble((command, "bold"), (f"   # {what}", "dim")), look, indent=4, further=8)
    return lines


def ending_line(view: dict[str, Any]) -> str:
    """Return the same in one line, for a log; nothing while the ramp goes on."""
    return " ".join([*_sentences(view), *(f"`{command}`: {what}." for command, what in _commands(view))])


def _sentences(view: dict[str, Any]) -> list[str]:
    start = (view.get("plan") or {}).get("start_ppm", 0) / 10_000
    match view["status"]:
        case "draft":
            begins = view.get("start_at")
            when = f"It starts at {stamp(begins)}, and until then" if begins else "It is not started:"
            return [f"{when} nobody is exposed by it, and nothing is read."]
        case "killed":
            flag = (view.get("plan") or {}).get("kill_scope") == "flag"
            now = "Everybody gets the off variant" if flag else "Nobody gets the new variant by this rollout"
            return [f"{now}. It stays so until a person revives it. See {KILLED_PAGE}"]
        case "aborted":
            return [f"The exposure from before the ramp is in force again: {start:g} %."]
        case "promoted" if not view["in_force"]:
            return ["A later change of the flag, or another ramp, has taken over: this one sets nothing any more."]
        case "promoted":
            kept = (view.get("plan") or {}).get("keep_holdback") and view.get("holdback")
            whom = f"{view['exposure']:g} % of users" + (f" but the {view['holdback']:g} % held back" if kept else "")
            said = f"The flag's document still says {view['declared']:g} %."
            same = view["declared"] == view["exposure"]
            return [f"In force for {whom}." + ("" if same else f" {said}")]
        case _:
            return []


def _commands(view: dict[str, Any]) -> list[tuple[str, str]]:
    flag = view["flag"]
    end = "" if view["environment"] == "production" else f" -e {view['environment']}"
    log = (f"rheostat ramp decisions {flag}{end}", "what was seen, and what followed")
    match view["status"]:
        case "killed":
            return [log, (f"rheostat flag revive {flag}{end} --reason WHY", "when it is mended")]
        case "aborted":
            return [log, (f"rheostat ramp start {flag}{end}", "to try again, with a pre-flight of its own")]
        case "promoted" if view["in_force"] and view["declared"] != view["exposure"]:
            return [(f"rheostat flag adopt {flag}{end}", "writes it into the document")]
        case _:
            return []
