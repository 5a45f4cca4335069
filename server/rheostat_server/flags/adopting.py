"""A promoted ramp's exposure, written into the flag's document: nobody moves, and the ramp is not needed any more."""

from collections.abc import Mapping, Sequence

import msgspec

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument
from rheostat.model.flag import DEFAULT_ROLLOUT
from rheostat.model.serving import rollout_of, serve
from rheostat.model.shares import ppm_to_percent
from rheostat_server.access.model import Principal
from rheostat_server.errors import Conflict, Fault, Invalid, NotFound
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.announcing import Announce, Arrive, at_once
from rheostat_server.flags.catalogue import Catalogue, lock_catalogue, read_document, refuse_archived
from rheostat_server.flags.replacing import replace_document
from rheostat_server.flags.wire import FlagView, flag_view, read_over
from rheostat_server.flags.writing import Writer
from rheostat_server.ports.ramps import RampRow, RampWatcher
from rheostat_server.ports.storage import EnvironmentRow, Storage, Transaction
from rheostat_server.ramps.adoption import exposure_to_declare
from rheostat_server.ramps.starting import one_exposure


class AdoptService:
    """Writes what promoted ramps made of a flag into its document."""

    def __init__(
        self, storage: Storage, clock: Clock, watcher: RampWatcher, announce: Announce, *, arrive: Arrive = at_once
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._announce = announce
        self._arrive = arrive

    async def adopt(
        self, project: str, environment: str, key: str, principal: Principal, *, rollout: str | None
    ) -> FlagView:
        """Declare what promoted ramps have in force, of one rollout or of all; the notes say what was written.

        Raises:
            NotFound: there is no such project, environment or flag.
            Invalid: there is no such rollout.
            Conflict: a ramp is live or left users at several exposures, or the flag is killed or archived.
        """

        async def work(tx: Transaction) -> tuple[FlagView, Mapping[int, int]]:
            catalogue = await lock_catalogue(tx, project, [key])
            there = await tx.environments.get(project, environment)
            row = catalogue.rows.get(key)
            if row is None:
                raise NotFound(f"there is no flag {key!r} in project {project!r}")
            refuse_archived(row)
            document = read_document(row)
            _check_rollout(document, there.key, rollout)
            # Held: no kill and no other ramp comes between.
            ramps = await tx.ramps.lock_of_flag(there.id, key)
            mine = [ramp for ramp in ramps if rollout in (None, ramp.rollout)]
            await _refuse_moving(tx, there, key, mine)
            for ramp in mine:
                one_exposure(ramp)
            adopted, notes = _adopted(catalogue, document, there.key, mine)
            if not notes:
                return await _view(tx, catalogue, row.key, (f"nothing to adopt in {there.key}",)), {}
            replaced = await replace_document(
                tx,
                catalogue,
                adopted,
                writer=Writer(actor=principal.actor, at_ms=self._clock.wall_ms()),
                watcher=self._watcher,
                action="adopt",
                summary=f"adopted {'; '.join(notes)} of {key} in {there.key}",
                notes=notes,
            )
            return await _view(tx, catalogue, key, replaced.notes), replaced.changed

        view, changed = await self._storage.run(work)
        if changed:
            self._announce(sorted(changed))
            await self._arrive(changed)
        return view


def _check_rollout(document: FlagDocument, environment: str, rollout: str | None) -> None:
    settings = document.environments.get(environment)
    if rollout is None or (settings is not None and settings.rollout(rollout) is not None):
        return
    named = [] if settings is None else [one.name for one in settings.rules if one.rollout is not None]
    if settings is not None and settings.rollout(DEFAULT_ROLLOUT) is not None:
        named.append(DEFAULT_ROLLOUT)
    hint = did_you_mean(rollout, named) or f"{document.key} has none in {environment}"
    raise Invalid([Fault("rollout", f"there is no rollout {rollout!r}", hint)], "the request")


async def _refuse_moving(tx: Transaction, there: EnvironmentRow, key: str, ramps: Sequence[RampRow]) -> None:
    for ramp in ramps:
        if ramp.live:
            raise Conflict(
                f"ramp {ramp.id} of rollout {ramp.rollout} is {ramp.state.status}: what it has in force may still be "
                f"taken back. Adopt when it is promoted, or abort it first: rheostat ramp abort {key}"
            )
    kills = await tx.kills.in_force(there.id, key)
    if kills and ramps:
        raise Conflict(f"{key} is killed in {there.key} ({kills[0].reason}); revive it first")


def _adopted(
    catalogue: Catalogue, document: FlagDocument, environment: str, ramps: Sequence[RampRow]
) -> tuple[FlagDocument, tuple[str, ...]]:
    """Return the document that declares what these ramps have in force, and a line for each that it did not declare."""
    flag = serve(document, environment, 0, catalogue.shared.layers)
    settings = document.environments.get(environment)
    notes: list[str] = []
    for ramp in ramps:
        served, declared = rollout_of(flag, ramp.rollout), None if settings is None else settings.rollout(ramp.rollout)
        if settings is None or served is None or declared is None:
            continue
        held = ramp.plan.holdback_ppm if ramp.plan.keep_holdback else 0
        ppm = exposure_to_declare(ramp.state.exposure_ppm, held, served.high - served.low)
        if ppm == served.exposure_ppm:
            continue
        percent = ppm_to_percent(ppm)
        exposure: int | float = int(percent) if percent == int(percent) else percent
        changed = msgspec.structs.replace(declared, exposure=exposure)
        if ramp.rollout == DEFAULT_ROLLOUT:
            assert settings.default is not None, "its rollout was found there"
            settings = msgspec.structs.replace(
                settings, default=msgspec.structs.replace(settings.default, rollout=changed)
            )
        else:
            rules = tuple(
                msgspec.structs.replace(rule, rollout=changed) if rule.name == ramp.rollout else rule
                for rule in settings.rules
            )
            settings = msgspec.structs.replace(settings, rules=rules)
        held_back = (
            f", which leaves out the {ppm_to_percent(held):g} % that it holds back"
            if held and ppm != ramp.state.exposure_ppm
            else ""
        )
        notes.append(f"{ramp.rollout}: {declared.exposure:g} % → {percent:g} %, by ramp {ramp.id}{held_back}")
    if settings is None or not notes:
        return document, ()
    environments = {**document.environments, environment: settings}
    return msgspec.structs.replace(document, environments=environments), tuple(notes)


async def _view(tx: Transaction, catalogue: Catalogue, key: str, notes: tuple[str, ...]) -> FlagView:
    row = await tx.flags.get(catalogue.project.id, key)
    over = await tx.served.over_flags([environment.id for environment in catalogue.environments])
    return flag_view(row, read_over(catalogue.environments, over), notes)
