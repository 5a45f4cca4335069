"""Ramps among documents that are applied: started once, or said how to start."""

from collections.abc import Sequence

from rheostat.model.document import TemplateDocument
from rheostat.model.shares import ppm_to_percent
from rheostat_server.errors import Conflict, Fault, Invalid, NotFound, Refused, VersionConflict
from rheostat_server.flags.catalogue import Catalogue
from rheostat_server.flags.sent import Sent, SentRamp
from rheostat_server.flags.wire import AppliedChange
from rheostat_server.flags.writing import Writer
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.preparing import Prepared
from rheostat_server.ramps.starter import RampStarter


class AppliedRamps:
    """Starts ramps of documents that are applied."""

    def __init__(self, starter: RampStarter) -> None:
        self._starter = starter

    async def prepared(self, project: str, sent: Sent) -> "RampsApplied":
        """Return the ramps that were sent, looked at before anything is written.

        Raises:
            Invalid: documents have faults, or name a template or metrics that are not there; all are listed.
        """
        templates = {
            key: document for (_, key), document in sent.shared.items() if isinstance(document, TemplateDocument)
        }
        found = await self._starter.prepare_applied(project, [ramp.data for ramp in sent.ramps], templates)
        ramps: list[tuple[SentRamp, Prepared]] = []
        faults: list[Fault] = []
        for ramp, one in zip(sent.ramps, found, strict=True):
            if isinstance(one, Invalid):
                faults += map(ramp.at, one.faults)
            else:
                ramps.append((ramp, one))
        if faults:
            raise Invalid(faults, "what was sent")
        return RampsApplied(self._starter, ramps)


class RampsApplied:
    """The ramps of one applying."""

    def __init__(self, starter: RampStarter, ramps: Sequence[tuple[SentRamp, Prepared]]) -> None:
        self._starter = starter
        self._ramps = ramps
        self._started: list[RampRow] = []

    async def lock(self, tx: Transaction, catalogue: Catalogue) -> None:
        """Hold the rows of the flags' ramps: they come before environments in the order of locks."""
        ids = {row.key: row.id for row in catalogue.environments}
        for environment, flag in sorted({(ramp.document.environment, ramp.document.flag) for ramp, _ in self._ramps}):
            if environment in ids:
                await tx.ramps.lock_of_flag(ids[environment], flag)

    async def start(self, tx: Transaction, project: str, writer: Writer) -> list[AppliedChange]:
        """Start those that were never started, in the transaction that has written the rest; say what came of each.

        Raises:
            Invalid: one cannot start; all that is wrong with it is listed.
            VersionConflict: somebody else was first, and all may be tried again.
        """
        # The transaction may run again: what an earlier attempt started was taken back with it.
        self._started = []
        told: list[AppliedChange] = []
        for sent, ramp in self._ramps:
            try:
                done = await self._starter.start_applied(tx, project, ramp, actor=writer.actor)
            except Invalid as error:
                raise Invalid([sent.at(fault) for fault in error.faults], "what was sent") from error
            except VersionConflict:
                raise
            except (Refused, NotFound, Conflict) as error:
                raise Invalid([sent.at(Fault("flag", str(error)))], "what was sent") from error
            if isinstance(done, str):
                told.append(_change(sent, "skip", done))
                continue
            self._started.append(done.row)
            steps = ", ".join(f"{ppm_to_percent(step.exposure_ppm):g}" for step in done.row.plan.steps)
            told.append(_change(sent, "start", f"steps {steps} %", *done.notes))
        return told

    def tell(self) -> None:
        """Say after the commit what was started."""
        self._starter.tell(self._started)


def not_started(ramp: SentRamp) -> AppliedChange:
    """Return what is said of a ramp: files are applied again and again, and a ramp is started once."""
    return _change(
        ramp, "skip", "a ramp is not applied but started: rheostat ramp start -f FILE, or rheostat apply --start-ramps"
    )


def _change(ramp: SentRamp, action: str, *notes: str) -> AppliedChange:
    return AppliedChange(
        kind="ramp",
        key=ramp.document.flag,
        action=action,
        version=0,
        environments=[ramp.document.environment],
        notes=notes,
    )
