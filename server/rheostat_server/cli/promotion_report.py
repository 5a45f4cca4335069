"""The summary of a promotion for programs: JSON, and JUnit's XML."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import msgspec

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.promotion import Promotion
from rheostat_server.cli.ramp_panel import telling
from rheostat_server.ramps.words import count

_DECISIONS = 20
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to say."""


def summary(promotion: Promotion) -> dict[str, Any]:
    """Return the summary as JSON."""
    view = promotion.view
    return {
        "outcome": promotion.outcome,
        "exit_code": promotion.exit_code,
        "reason": promotion.reason,
        "project": promotion.project,
        "environment": promotion.environment,
        "flag": promotion.flag,
        "new": promotion.new,
        "waited_seconds": round(promotion.seconds, 1),
        "ramp": view.get("id"),
        "rollout": view.get("rollout"),
        "status": view.get("status"),
        "exposure": view.get("exposure"),
        "declared": view.get("declared"),
        "steps": view.get("steps", []),
        "step": view.get("step"),
        "started_at": view.get("started_at"),
        "ended_at": view.get("ended_at"),
        "digest": view.get("digest"),
        "template": view.get("template"),
        "template_version": view.get("template_version"),
        "killed_by": promotion.killed_by,
        "guardrails": view.get("guardrails", []),
        "notes": list(promotion.notes),
        "decisions": [
            {"at": one["at"], "kind": one["kind"], "why": one.get("why", "")}
            for one in telling(promotion.decisions, _DECISIONS)
        ],
    }


def junit(promotion: Promotion) -> bytes:
    """Return the summary as JUnit's XML: a test for the ramp, and one for each guardrail with its evidence.

    A kill is a failure, of the ramp and of the guardrails that killed; held, late, aborted or not started is an error.
    """
    view = promotion.view
    name = _clean(f"rheostat promote {promotion.flag}")
    suite = Xml.Element("testsuite", name=name, time=f"{promotion.seconds:.1f}")
    if view.get("started_at"):
        suite.set("timestamp", view["started_at"])
    properties = Xml.SubElement(suite, "properties")
    for key in ("outcome", "ramp", "environment", "project", "exposure", "digest", "template", "template_version"):
        value = summary(promotion)[key]
        if value is not None:
            Xml.SubElement(properties, "property", name=key, value=_clean(str(value)))
    last = f"{view['steps'][-1]:g} %" if view.get("steps") else "its last step"
    ramp = _case(suite, promotion, f"the ramp to {last}", _log(promotion))
    if promotion.outcome == "killed":
        _bad(ramp, "failure", promotion)
    elif promotion.outcome not in {"promoted", "started"}:
        _bad(ramp, "error", promotion)
    for guardrail in view.get("guardrails", ()):
        case = _case(suite, promotion, str(guardrail["name"]), evidence(guardrail))
        if guardrail["name"] in promotion.killed_by:
            _bad(case, "failure", promotion)
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    every = Xml.Element("testsuites")
    every.append(suite)
    Xml.indent(every)
    document: bytes = Xml.tostring(every, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def evidence(guardrail: dict[str, Any]) -> str:
    """Return a guardrail's evidence in lines for people."""
    lines = [_arm("exposed", guardrail["treatment"]), _arm("control", guardrail["control"])]
    harm = f"kills at {guardrail['kill_line']:.6g}" if guardrail["may_kill"] else "holds, does not kill"
    lines.append(f"harm: M = {guardrail['m']:.4g}, {harm}")
    proof = max(guardrail["e"], guardrail["a"])
    lines.append(f"proof: {proof:.4g} of {guardrail['advance_line']:.6g}{', proved' if guardrail['proved'] else ''}")
    if guardrail.get("ceiling") is not None:
        most = f"{100 * guardrail['ceiling']:.3g} %"
        lines.append(f"ceiling of {most}: {guardrail['c']:.4g}, crossed at {guardrail['ceiling_line']:.6g}")
    if guardrail["sight"] != "seen":
        why = f" ({guardrail['detail']})" if guardrail.get("detail") else ""
        lines.append(f"no evidence now: {guardrail['sight']}{why}")
    return "\n".join(lines)


def check_writable(paths: Iterable[Path | None]) -> None:
    """Refuse before anything is started where a summary could not be written at the end.

    Raises:
        CommandFailed: there is no such folder.
    """
    for path in paths:
        if path is not None and not path.absolute().parent.is_dir():
            raise CommandFailed(f"{path}: there is no folder {path.absolute().parent}; make it first")


def write_reports(promotion: Promotion, *, json: Path | None, xml: Path | None) -> None:
    """Write the summaries that were asked for.

    Raises:
        CommandFailed: a file cannot be written.
    """
    _write(json, lambda: msgspec.json.format(msgspec.json.encode(summary(promotion)), indent=2) + b"\n")
    _write(xml, lambda: junit(promotion))


def _write(path: Path | None, content: Callable[[], bytes]) -> None:
    if path is None:
        return
    try:
        path.write_bytes(content())
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror or error}") from error


def _case(suite: Xml.Element, promotion: Promotion, name: str, said: str) -> Xml.Element:
    of = _clean(f"rheostat.{promotion.environment}.{promotion.flag}")
    case = Xml.SubElement(suite, "testcase", classname=of, name=_clean(name), time=f"{promotion.seconds:.1f}")
    Xml.SubElement(case, "system-out").text = _clean(said)
    return case


def _bad(case: Xml.Element, kind: str, promotion: Promotion) -> None:
    bad = Xml.Element(kind, message=_clean(promotion.sentence), type=promotion.outcome)
    bad.text = _clean(promotion.reason)
    # Readers expect it before what was printed.
    case.insert(0, bad)


def _log(promotion: Promotion) -> str:
    decided = telling(promotion.decisions, _DECISIONS)
    log = [f"{one['at']} {one['kind']}: {one.get('why', '')}" for one in decided]
    return "\n".join([promotion.sentence, *promotion.notes, *log])


def _arm(name: str, seen: dict[str, Any]) -> str:
    rate = seen.get("rate")
    shown = "" if rate is None else f", {100 * rate:.3g} %"
    return (
        f"{name}: {count(seen['bad'])} bad of {count(seen['requests'])} requests{shown}; "
        f"{count(seen['failing'])} users failed"
    )


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
