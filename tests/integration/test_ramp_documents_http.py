"""The document that a ramp was started from: kept, started again, applied, adopted; and who moves by any of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.cli.flag_exposure import overlay_lines
from rheostat_server.errors import Conflict
from tests.integration.documents_api import HERE, HOME, RAMPS, Api, documents_api
from tests.integration.ramp_world import ENVIRONMENT, FLAG, flag_document, ramp_document, ramp_world

RAMP = {**ramp_document(), "environment": ENVIRONMENT}
ADOPT = f"{HERE}/flags/{FLAG}/adopt"


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """A world in which the flag is written."""
    async with ramp_world(database) as world:
        await world.put()
        async with documents_api(world) as made:
            yield made


async def started(api: Api, status: int = 201, once: str | None = None, **changes: Any) -> Any:
    """Start a ramp."""
    params = {} if once is None else {"once": once}
    return await api.ask("POST", RAMPS, ramp_document(**changes), status=status, **params)


async def test_a_ramp_keeps_its_document(api: Api) -> None:
    """It is shown as it was given, with its environment; from it the same ramp starts again."""
    view = await started(api, steps=[10, {"exposure": 50.0, "gate": "manual"}], to=20)
    assert view["document"] == {
        **RAMP, "steps": [10, {"exposure": 50, "gate": "manual"}], "to": 20
    }  # fmt: skip
    assert view["steps"] == [10, 20]
    assert (await api.ask("GET", f"{RAMPS}/{view['id']}"))["document"] == view["document"]

    await api.ask("POST", f"{RAMPS}/{view['id']}/abort", {})
    again = await api.ask("POST", RAMPS, view["document"], status=201)
    assert (again["document"], again["digest"], again["plan"]) == (view["document"], view["digest"], view["plan"])


async def test_a_restart_of_the_evidence_keeps_the_document(api: Api) -> None:
    """A write with `restart_ramp` starts the ramp afresh: what it came from is the same."""
    view = await started(api)
    changed = flag_document(rollout={"salt": "other"})
    await api.ask("PUT", f"{HOME}/flags/{FLAG}", changed, restart_ramp="true")

    # Of two of one moment either may be the first.
    [fresh] = [ramp for ramp in (await api.ask("GET", RAMPS))["ramps"] if ramp["id"] != view["id"]]
    assert (fresh["document"], fresh["digest"]) == (view["document"], view["digest"])


async def test_a_document_is_started_once(api: Api) -> None:
    """`once=ever` answers with the ramp that was started from the document, however it stands; `live` if it is live."""
    ramp = (await started(api, once="ever"))["id"]
    there = await started(api, once="ever", status=200)
    assert (there["id"], there["notes"]) == (ramp, [f"ramp {ramp} of this document is arming: it goes on"])
    assert (await started(api, once="live", status=200))["id"] == ramp
    refused = await started(api, once="ever", soak="6s", status=409)
    assert f"ramp {ramp} of checkout (default) is arming in production" in refused["detail"]
    assert "a flag has one ramp at a time" in refused["detail"]

    await api.ask("POST", f"{RAMPS}/{ramp}/abort", {})
    ended = await started(api, once="ever", status=200)
    assert ended["notes"] == [f"ramp {ramp} of this document is aborted: nothing to do"]
    assert (await started(api, once="live"))["id"] != ramp
    await started(api, once="never", status=400)


async def test_two_that_start_the_same_document_get_the_same_ramp(api: Api) -> None:
    """However closely one follows the other: two runs of a pipeline begin one ramp."""
    views = await asyncio.gather(*(api.ask("POST", RAMPS, ramp_document(), status=None, once="ever") for _ in range(5)))

    assert len({view["id"] for view in views}) == 1
    assert len((await api.ask("GET", RAMPS))["ramps"]) == 1


async def test_an_ended_ramp_is_started_again(api: Api) -> None:
    """Killed and revived, or aborted: from its first step, or from any; with all the checks of a start."""
    first = (await started(api))["id"]
    path = f"{RAMPS}/{first}/restart"
    refused = await api.ask("POST", path, {}, status=409)
    assert "it goes on by itself" in refused["detail"]
    assert f"rheostat ramp abort {FLAG}" in refused["detail"]

    await api.ask("POST", f"{HERE}/flags/{FLAG}/kill", {"reason": "it burns"})
    refused = await api.ask("POST", path, {}, status=409)
    assert f"rheostat flag revive {FLAG}" in refused["detail"]
    await api.ask("POST", f"{HERE}/flags/{FLAG}/revive", {"reason": "fixed"})

    refused = await api.ask("POST", path, {"from": 30}, status=422)
    assert refused["faults"] == [
        {
            "path": "from",
            "message": "30 % is no step above the exposure in force, 0 %",
            "hint": "there are 10 %, 50 %, 100 %",
        }
    ]
    await api.ask("POST", path, {"from": 101}, status=422)
    await api.ask("POST", path, {"form": 50}, status=422)
    again = await api.ask("POST", path, {"from": 50, "reason": "the fix is out"}, status=201)
    assert (again["steps"], again["status"]) == ([50, 100], "arming")
    assert (again["restart_of"], again["started_from"], again["document"]) == (first, 50, RAMP)
    assert again["notes"][0] == f"started again from ramp {first}, which is aborted, beginning at 50 %"
    entries = (await api.ask("GET", "/api/v1/audit", subject=FLAG))["entries"]
    assert entries[0]["action"] == "ramp.start"
    assert (entries[0]["detail"]["restart_of"], entries[0]["detail"]["reason"]) == (first, "the fix is out")

    # The document is the first one's: of the new ramp it can be started again, at another step.
    await api.ask("POST", f"{RAMPS}/{again['id']}/abort", {})
    third = await api.ask("POST", f"{RAMPS}/{again['id']}/restart", {}, status=201)
    assert third["steps"] == [10, 50, 100]
    assert third["restart_of"] == again["id"]
    await api.ask("POST", f"{RAMPS}/no-such-ramp/restart", {}, status=404)


async def test_a_ramp_from_before_documents_were_kept_is_not_started_again(api: Api) -> None:
    """It says so; everything else of it goes on."""
    ramp = (await started(api))["id"]
    await api.ask("POST", f"{RAMPS}/{ramp}/abort", {})
    async with api.world.storage.transaction() as tx:
        await cast(Any, tx)._connection.execute("UPDATE ramps SET origin = NULL, digest = NULL")

    assert (await api.ask("GET", f"{RAMPS}/{ramp}"))["document"] is None
    refused = await api.ask("POST", f"{RAMPS}/{ramp}/restart", {}, status=422)
    assert "before documents were kept" in refused["detail"]


async def test_applying_the_unchanged_file_moves_nobody(api: Api) -> None:
    """Before, during and after a ramp, after its promotion, after a kill: user by user, with and without starting."""
    file = (flag_document(5), RAMP)
    nobody_yet = await api.answers()
    applied = await api.apply(*file)
    assert [one["action"] for one in applied["changes"]] == ["update", "skip"]
    assert "rheostat apply --start-ramps" in applied["changes"][1]["notes"][0]
    assert (await api.ask("GET", RAMPS))["ramps"] == []
    five = await api.answers()
    assert five != nobody_yet

    async def moves_nobody(says: str) -> None:
        before = await api.answers()
        revision = await api.world.revision()
        for how in ({}, {"start_ramps": True}, {"start_ramps": True, "dry_run": True}):
            changes = (await api.apply(*file, **how))["changes"]
            assert [one["action"] for one in changes] == ["unchanged", "skip"], changes
            if how:
                assert says in changes[1]["notes"][0]
        assert await api.answers() == before
        assert await api.world.revision() == revision

    would = await api.apply(*file, start_ramps=True, dry_run=True)
    assert [one["action"] for one in would["changes"]] == ["unchanged", "start"]
    assert would["changes"][1]["notes"][0] == "steps 10, 50, 100 %"
    assert (await api.ask("GET", RAMPS))["ramps"] == []
    did = await api.apply(*file, start_ramps=True)
    assert [one["action"] for one in did["changes"]] == ["unchanged", "start"]
    assert await api.answers() == five, "arming exposes nobody"
    [view] = (await api.ask("GET", RAMPS))["ramps"]
    assert view["document"] == RAMP

    await moves_nobody(f"ramp {view['id']} of this document is arming: it goes on")
    await api.ask("POST", f"{RAMPS}/{view['id']}/advance", {"reason": "in a test"})
    assert await api.answers() != five
    await moves_nobody(f"ramp {view['id']} of this document is running: it goes on")
    await api.promoted(view["id"])
    assert set(await api.answers()) == {"on"}
    await moves_nobody(f"ramp {view['id']} of this document is promoted: nothing to do")
    notes = (await api.apply(*file))["changes"][0]["notes"]
    assert notes == [f"production: default declared 5 %, in force 100 % by ramp {view['id']}"]
    await api.ask("POST", f"{HERE}/flags/{FLAG}/kill", {"reason": "it burns", "scope": "rollout"})
    assert set(await api.answers()) == {"off"}
    await moves_nobody(f"ramp {view['id']} of this document is promoted: nothing to do")


async def test_after_a_kill_the_same_file_starts_nothing(api: Api) -> None:
    """Neither while the flag is killed nor after its revival; another document starts a ramp after it."""
    await api.apply(RAMP, start_ramps=True)
    await api.ask("POST", f"{HERE}/flags/{FLAG}/kill", {"reason": "it burns"})
    other = {**RAMP, "soak": "6s"}

    killed = await api.apply(RAMP, other, start_ramps=True)
    assert [one["action"] for one in killed["changes"]] == ["skip", "skip"]
    assert "of this document is killed: nothing to do" in killed["changes"][0]["notes"][0]
    assert "checkout is killed in production (it burns)" in killed["changes"][1]["notes"][0]
    await api.ask("POST", f"{HERE}/flags/{FLAG}/revive", {"reason": "fixed"})
    revived = await api.apply(RAMP, start_ramps=True)
    assert "of this document is aborted: nothing to do" in revived["changes"][0]["notes"][0]
    started_now = await api.apply(RAMP, other, start_ramps=True)
    assert [one["action"] for one in started_now["changes"]] == ["skip", "start"]
    third = await api.apply({**RAMP, "soak": "7s"}, start_ramps=True)
    assert "of another document is arming: this one was not started" in third["changes"][0]["notes"][0]


async def test_a_ramp_that_cannot_start_refuses_all_of_what_is_applied(api: Api) -> None:
    """Its faults have their place among the documents, and nothing is written, in a dry run as in a real one."""
    flag = flag_document(50, enabled=False)
    ramps = [
        {**RAMP, "steps": [1, 5], "holdback": 0},
        {**RAMP, "environment": "produktion"},
        {**RAMP, "rollout": "vip"},
    ]
    for how in ({}, {"dry_run": True}):
        refused = await api.apply(flag, RAMP, start_ramps=True, status=422, **how)
        assert [one["path"] for one in refused["faults"]] == ["documents[1].flag"]
        for ramp, path in zip(ramps, ("steps", "environment", "rollout"), strict=True):
            refused = await api.apply(flag_document(50), ramp, start_ramps=True, status=422, **how)
            assert [one["path"] for one in refused["faults"]] == [f"documents[1].{path}"], refused

    assert (await api.ask("GET", f"{HOME}/flags/{FLAG}"))["version"] == 1
    assert (await api.ask("GET", RAMPS))["ramps"] == []


async def test_a_neighbour_on_the_same_users_is_waited_for(api: Api) -> None:
    """Another flag's live ramp on the salt and unit: this one is skipped with the reason, and the rest is written."""
    payments = {**flag_document(rollout={"salt": FLAG}), "key": "payments"}
    await api.ask("PUT", f"{HOME}/flags/payments", payments, status=201)
    beside = (await api.ask("POST", RAMPS, ramp_document(flag="payments"), status=201))["id"]

    for how in ({"dry_run": True}, {}):
        changes = (await api.apply(flag_document(5), RAMP, start_ramps=True, **how))["changes"]
        assert [one["action"] for one in changes] == ["update", "skip"]
        [note] = changes[1]["notes"]
        assert f"ramp {beside} of payments (default) is arming on the same salt" in note
        assert note.endswith("this ramp was not started")

    assert (await api.ask("GET", f"{HOME}/flags/{FLAG}"))["version"] == 2
    later = {**RAMP, "start_at": "2026-01-01T00:10Z"}
    assert [one["action"] for one in (await api.apply(later, start_ramps=True))["changes"]] == ["start"], (
        "a draft waits"
    )
    await api.ask("POST", f"{RAMPS}/{beside}/abort", {})
    assert [one["action"] for one in (await api.apply(RAMP, start_ramps=True))["changes"]] == ["start"]


async def test_of_two_applied_ramps_on_the_same_users_the_first_starts(api: Api) -> None:
    """The second sees it, in the same transaction."""
    payments = {**flag_document(rollout={"salt": FLAG}), "key": "payments"}

    changes = (await api.apply(payments, RAMP, {**RAMP, "flag": "payments"}, start_ramps=True))["changes"]

    assert [one["action"] for one in changes] == ["create", "start", "skip"]
    assert len((await api.ask("GET", RAMPS))["ramps"]) == 1


async def test_what_conflicts_all_the_same_has_its_place(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ramp that began between the look and the start refuses what was sent, at the document."""

    async def began(*_: object, **__: object) -> None:
        raise Conflict("ramp 1 of checkout (default) is arming")

    monkeypatch.setattr("rheostat_server.ramps.starter.start_ramp", began)

    refused = await api.apply(flag_document(5), RAMP, start_ramps=True, status=422)

    assert [(one["path"], one["message"]) for one in refused["faults"]] == [
        ("documents[1].flag", "ramp 1 of checkout (default) is arming")
    ]
    assert (await api.ask("GET", f"{HOME}/flags/{FLAG}"))["version"] == 1


async def test_users_at_several_exposures_are_neither_adopted_nor_ramped_over(api: Api) -> None:
    """`others: false` left regions above the rest: one number for all would move somebody, so nothing is written."""
    rolling: dict[str, Any] = {
        "strategy": "rolling",
        "by": "region",
        "values": [["eu", "us"]],
        "others": False,
        "steps": [100],
        "holdback": 0,
        "unguarded": True,
        "preflight": "0s",
    }
    ramp = (await started(api, **rolling))["id"]
    await api.world.ride(ramp, None, until=["promoted"], seconds=60)
    assert set(await api.answers()) == {"off"}, "nobody of these says a region"
    why = f"ramp {ramp} has left region eu, us above all other users; write the exposure that all are to have"

    for body in ({}, {"rollout": "default"}):
        refused = await api.ask("POST", ADOPT, body, status=409)
        assert why in refused["detail"]

    assert (await api.ask("GET", f"{HOME}/flags/{FLAG}"))["version"] == 1
    assert set(await api.answers()) == {"off"}
    [change] = (await api.apply(RAMP, start_ramps=True))["changes"]
    assert change["action"] == "skip"
    assert change["notes"][0].startswith(why)
    # As people see it: what the others get is what is declared, and that is not all.
    view = await api.ask("GET", f"{HOME}/flags/{FLAG}")
    assert overlay_lines(view, ENVIRONMENT) == [
        f"default: declared 0 %, in force 100 % of region eu, us, 0 % of others by ramp {ramp}"
    ]


@pytest.mark.parametrize(("holdback", "kept", "declared"), [(0, False, 100), (5, False, 100), (5, True, 95)])
async def test_what_a_promoted_ramp_has_in_force_is_adopted(
    api: Api, holdback: float, kept: bool, declared: float
) -> None:
    """The document declares it, the overlay ends, and no user moves; a holdback that is kept stays unexposed."""
    ramp = (await started(api, holdback=holdback, keep_holdback=kept, unguarded=True))["id"]
    refused = await api.ask("POST", ADOPT, {}, status=409)
    assert f"ramp {ramp} of rollout default is running" in refused["detail"]
    assert f"rheostat ramp abort {FLAG}" in refused["detail"]
    await api.promoted(ramp)
    before = await api.answers()

    view = await api.ask("POST", ADOPT, {})

    rollout = view["document"]["environments"][ENVIRONMENT]["default"]["rollout"]
    assert (rollout["exposure"], view["version"]) == (declared, 2)
    assert view["notes"][0].startswith(f"default: 0 % → {declared} %, by ramp {ramp}")
    assert await api.answers() == before
    assert await api.world.exposure() is None, "the overlay has ended"
    assert [one["action"] for one in (await api.apply(view["document"]))["changes"]] == ["unchanged"]
    nothing = await api.ask("POST", ADOPT, {"rollout": "default"})
    assert (nothing["notes"], nothing["version"]) == (["nothing to adopt in production"], 2)
    assert "flag.adopt" in await api.world.audited()


async def test_the_rollouts_of_rules_are_adopted_too(api: Api) -> None:
    """All of the environment, or the one that is named: then a live ramp of another is no matter."""
    rule = {"attribute": "plan", "operator": "equals", "values": ["pro"]}
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off", "salt": "vip"}
    rules = [{"name": "vip", "when": rule, "rollout": rollout}]
    await api.world.put(flag_document(environment={"rules": rules}))
    vip = (await started(api, rollout="vip", to=50, unguarded=True))["id"]
    await api.promoted(vip)
    both = (await started(api, unguarded=True))["id"]
    await api.promoted(both)
    refused = await api.ask("POST", ADOPT, {"rollout": "vipp"}, status=422)
    assert refused["faults"][0]["hint"] == "did you mean vip?"
    before = await api.answers()
    view = await api.ask("POST", ADOPT, {})
    assert exposures(view) == (50, 100)
    assert len(view["notes"]) >= 2
    assert await api.answers() == before

    third = (await started(api, rollout="vip", to=60, unguarded=True))["id"]
    await api.promoted(third)
    again = (await started(api, rollout="vip", to=80, unguarded=True))["id"]
    await api.ask("POST", ADOPT, {}, status=409)
    assert (await api.ask("POST", ADOPT, {"rollout": "default"}))["notes"] == ["nothing to adopt in production"]
    assert (await api.world.view(again)).status == "running"
    await api.ask("POST", f"{HERE}/flags/nothing/adopt", {}, status=404)


def exposures(view: Any) -> tuple[float, float]:
    """What the document declares: of the rule's rollout, and of the default's."""
    settings = view["document"]["environments"][ENVIRONMENT]
    return settings["rules"][0]["rollout"]["exposure"], settings["default"]["rollout"]["exposure"]


async def test_what_is_killed_is_not_adopted(api: Api) -> None:
    """No write ends a kill: it says to revive first. Afterwards the promoted exposure is adopted."""
    ramp = (await started(api, unguarded=True))["id"]
    await api.promoted(ramp)
    await api.ask("POST", f"{HERE}/flags/{FLAG}/kill", {"reason": "it burns"})
    refused = await api.ask("POST", ADOPT, {}, status=409)
    assert "revive it first" in refused["detail"]
    await api.ask("POST", f"{HERE}/flags/{FLAG}/revive", {"reason": "fixed"})

    assert (await api.ask("POST", ADOPT, {}))["version"] == 2
