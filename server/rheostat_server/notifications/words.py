"""What a message says to people, in lines. Pure."""

from rheostat_server.notifications.message import ArmFigures, GuardrailFigures, Message
from rheostat_server.ramps.news import News
from rheostat_server.ramps.words import count

_SAID = {
    News.STARTED: "a ramp of {flag} started in {environment}",
    News.ADVANCED: "{flag} advanced to {after} in {environment}",
    News.STEPPED_BACK: "{flag} stepped back to {after} in {environment}",
    News.HELD: "{flag} is held in {environment}",
    News.BLIND: "{flag} is blind in {environment}",
    News.AWAITING_APPROVAL: "{flag} waits for approval in {environment}",
    News.PAUSED: "{flag} is paused in {environment}",
    News.RESUMED: "{flag} goes on in {environment}",
    News.SOAKING: "{flag} is soaking in {environment}",
    News.PROMOTED: "{flag} promoted in {environment}",
    News.KILLED: "{flag} killed in {environment}",
    News.ABORTED: "the ramp of {flag} was aborted in {environment}",
    News.REVIVED: "{flag} revived in {environment}",
    News.UNATTENDED: "the ramp of {flag} in {environment} is unattended",
    News.KILL_UNCONFIRMED: "the kill of {flag} in {environment} is not confirmed everywhere",
}
TEST = "test"
"""The event of a message that somebody asked for to try a channel."""


def headline(message: Message) -> str:
    """Return the message in one short line: ``checkout-v2 killed in production``."""
    if message.event == TEST:
        return f"a test of notifications of {message.project}"
    after = "" if message.exposure is None else f"{message.exposure.after:g} %"
    said = _SAID[News(message.event)]
    if message.stage is not None:
        after = f"{after} of {message.stage.after}"
        if message.event == News.ADVANCED and message.stage.before != message.stage.after:
            return f"{message.flag} goes on with {message.stage.after} in {message.environment}"
    return said.format(flag=message.flag, environment=message.environment, after=after)


def facts(message: Message) -> list[tuple[str, str]]:
    """Return what is known of it as names and values, for a table."""
    found = [("project", message.project)]
    if message.environment:
        found += [("environment", message.environment)]
    if message.ramp is not None:
        found += [("ramp", f"{message.ramp} ({message.rollout}), {message.status}")]
    if message.exposure is not None:
        before, after = message.exposure.before, message.exposure.after
        of = "" if message.stage is None else f" of {message.stage.after}"
        found += [("exposure", (f"{before:g} % → {after:g} %" if before != after else f"{after:g} %") + of)]
    if message.kill is not None:
        what = "the flag" if message.kill.scope == "flag" else f"rollout {message.rollout}"
        found += [("kill", f"of {what}, by source {message.kill.source}")]
    if message.actor is not None:
        found += [("by", message.actor)]
    found += [("at", message.at)]
    return found


def guardrail_lines(message: Message) -> list[str]:
    """Return a line for each guardrail: both arms, and how near its lines it came."""
    return [f"{one.name}: {_of(one)}" for one in message.guardrails]


def repeats_line(message: Message) -> str:
    """Return how often the same was left out before this message; nothing where it was not."""
    times = "once" if message.repeats == 1 else f"{message.repeats} times"
    return f"It was so {times} more since the last message." if message.repeats else ""


def more_line(message: Message) -> str:
    """Return the command that shows more: the link needs a token, which a browser has not."""
    if message.event == TEST:
        return ""
    what = "flag get" if message.ramp is None else "ramp status"
    return f"rheostat {what} {message.flag} -p {message.project} -e {message.environment}"


def _of(one: GuardrailFigures) -> str:
    seen = "" if one.sight == "seen" else f"{one.sight}; "
    arms = f"exposed {_arm(one.treatment)}, others {_arm(one.control)}"
    kills = f"M {_figure(one.m)} of {_figure(one.kill_line)}" if one.may_kill else "holds only"
    proof = max(one.e, one.a)
    proved = "proved" if one.proved else f"proof {_figure(proof)} of {_figure(one.advance_line)}"
    return f"{seen}{arms}; {kills}; {proved}"


def _arm(arm: ArmFigures) -> str:
    if arm.rate is None:
        return "no requests"
    return f"{100 * arm.rate:.3g} % bad of {count(arm.requests)}"


def _figure(value: float) -> str:
    return count(value) if value >= 1000 else f"{value:.3g}"
