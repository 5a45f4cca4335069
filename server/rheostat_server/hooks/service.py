"""Kills that Alertmanager asks for."""

from typing import Literal, TypeAlias

import msgspec
import structlog

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument
from rheostat.model.kill import KillScope
from rheostat_server.errors import NotFound, Refused
from rheostat_server.hooks.alertmanager import Alert, Notification, Target, reason_of, target_of
from rheostat_server.hooks.secrets import covers
from rheostat_server.ports.hooks import HookRow
from rheostat_server.ports.metrics import Watches
from rheostat_server.ports.storage import AuditEntry, Storage, Transaction
from rheostat_server.ramps.kills import KillOrder, kill_flag
from rheostat_server.ramps.starting import locked_flag
from rheostat_server.ramps.writing import Announce

SOURCE = "alertmanager"
AUDITED = 50
"""So many alerts are listed in one entry of the audit."""
SAID_MS = 3_600_000
"""Alertmanager sends what failed again and again: the same is audited once in so long."""

Result: TypeAlias = Literal["killed", "already", "idle", "unmatched", "refused", "resolved"]
FAILED: frozenset[Result] = frozenset(("unmatched", "refused"))
"""What was to be done and was not: somebody has to look."""

log = structlog.get_logger("rheostat.hooks")


class AlertResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done about an alert, and in words."""

    alert: str
    result: Result
    detail: str
    project: str = ""
    environment: str = ""
    flag: str = ""


class HookService:
    """Kills what firing alerts name. Resolved ones revive nothing: a person does."""

    def __init__(self, storage: Storage, clock: Clock, announce: Announce, watches: Watches) -> None:
        self._storage = storage
        self._clock = clock
        self._announce = announce
        self._watches = watches

    async def receive(self, hook: HookRow, notification: Notification) -> list[AlertResult]:
        """Carry out a notification; return what was done about each alert, in order.

        The kill of one stands whatever becomes of the others. Sent again, it does nothing twice.

        Raises:
            StorageUnavailable: not all was carried out; it is to be sent again.
        """
        results: list[AlertResult] = []
        known: dict[Target, AlertResult] = {}
        for alert in notification.alerts:
            result = await self._one(hook, alert, notification, known)
            self._watches.alert(result.result)
            results.append(result)
        await self._audit(hook, results, notification.truncated_alerts)
        return results

    async def _one(
        self, hook: HookRow, alert: Alert, notification: Notification, known: dict[Target, AlertResult]
    ) -> AlertResult:
        target = target_of(alert, notification)
        if isinstance(target, str):
            return AlertResult(alert=alert.name, result="unmatched", detail=target)
        found = AlertResult(
            alert=alert.name,
            result="resolved",
            detail="a kill stays until a person revives",
            project=target.project,
            environment=target.environment,
            flag=target.flag,
        )
        if not covers(hook, target):
            # Said alike whether or not there is such a flag.
            return _with(found, "unmatched", f"the hook {hook.label!r} may not kill this flag there")
        if not alert.firing:
            return found
        if target in known:
            before = known[target]
            return msgspec.structs.replace(before, alert=alert.name, result=_again(before.result))
        order = KillOrder(flag=target.flag, reason=reason_of(alert, notification), actor=hook.label, source=SOURCE)
        try:
            done = await self._kill(target, order)
        except NotFound as error:
            done = "unmatched", str(error)
        except Refused as error:
            done = "refused", str(error)
        known[target] = _with(found, *done)
        return known[target]

    async def _kill(self, target: Target, order: KillOrder) -> tuple[Result, str]:
        at_ms = self._clock.wall_ms()

        async def write(tx: Transaction) -> tuple[int, Result, str]:
            there = await tx.environments.get(target.project, target.environment)
            row, flag = await locked_flag(tx, there, target.flag)
            ramps = await tx.ramps.lock_of_flag(there.id, flag.key)
            if any(ramp.live for ramp in ramps):
                scope = KillScope.ROLLOUT
            elif standing := await tx.kills.in_force(there.id, flag.key):
                return there.id, "already", f"it was killed already: {standing[0].reason}"
            elif msgspec.json.decode(row.document, type=FlagDocument).hook_kill:
                scope = KillScope.FLAG
            else:
                return there.id, "idle", "the flag does not ramp, and its document has no `hook_kill: true`"
            notes = await kill_flag(tx, there, msgspec.structs.replace(order, scope=scope), at_ms)
            what = "the flag" if scope is KillScope.FLAG else "its ramping rollout"
            return there.id, "killed", "; ".join((f"{what} is killed", *notes))

        environment_id, result, detail = await self._storage.run(write)
        if result == "killed":
            self._announce([environment_id])
            log.info("killed_by_alert", flag=target.flag, environment=target.environment, reason=order.reason)
        return result, detail

    async def _audit(self, hook: HookRow, results: list[AlertResult], truncated: int) -> None:
        failed = [result for result in results if result.result in FAILED]
        if not failed and not truncated:
            return
        said = [f"{one.alert}: {one.detail}" for one in failed[:1]]
        if truncated:
            said.append(truncated_words(truncated))
        summary = f"{_alerts(len(failed) + truncated)} killed nothing: {'; '.join(said)}"
        entry = AuditEntry(
            at_ms=self._clock.wall_ms(),
            actor=hook.label,
            action="hook.unmatched",
            subject=hook.id,
            project=hook.project,
            summary=summary[:1000],
            detail=msgspec.Raw(msgspec.json.encode({"alerts": failed[:AUDITED], "truncated": truncated})),
        )

        async def write(tx: Transaction) -> bool:
            since_ms = entry.at_ms - SAID_MS
            lately = await tx.audit.read(project=hook.project, subject=hook.id, since_ms=since_ms, limit=AUDITED)
            if any((known.action, known.summary) == (entry.action, entry.summary) for known in lately):
                return False
            await tx.audit.add(entry)
            return True

        if await self._storage.run(write):
            log.warning("alerts_unmatched", hook=hook.label, summary=summary)


def truncated_words(truncated: int) -> str:
    """Return what is wrong with a notification from which alerts were left out."""
    return f"Alertmanager left out {_alerts(truncated)}: take max_alerts out of its configuration"


def _alerts(number: int) -> str:
    return "1 alert" if number == 1 else f"{number} alerts"


def _again(result: Result) -> Result:
    return "already" if result == "killed" else result


def _with(found: AlertResult, result: Result, detail: str) -> AlertResult:
    return msgspec.structs.replace(found, result=result, detail=detail)
