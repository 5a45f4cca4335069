"""Flags over HTTP: writing, versions, conditions, what is served."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from rheostat.model.document import FlagDocument
from rheostat.model.flag import Flag
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.flags.catalogue import lock_catalogue
from rheostat_server.outcomes.model import EvaluationCount
from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"


async def put(running: RunningNode, document: dict[str, Any], **headers: str) -> httpx.Response:
    return await running.admin.put(f"{FLAGS}/{document['key']}", json=document, headers=headers)


async def test_a_new_flag_is_served_at_once_in_every_environment(running: RunningNode) -> None:
    """A new flag raises each environment's revision by one, and is disabled where it is not listed."""
    before = await running.revisions()
    answer = await put(running, flag_document(environments={"production": rolled_out(5)}))

    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == '"1"'
    body = answer.json()
    assert body["version"] == 1
    assert body["document"]["environments"] == {"production": rolled_out(5)}
    assert body["created_at"] == "2026-01-01T00:00:00.000Z"
    assert body["in_force"]["production"] == {"rollouts": {"default": {"declared": 5, "in_force": 5}}, "kills": []}
    assert await running.revisions() == {name: revision + 1 for name, revision in before.items()}
    production, staging = [
        msgspec.json.decode((await running.served(name))["flag", "checkout"] or b"", type=Flag)
        for name in ("production", "staging")
    ]
    assert (production.enabled, staging.enabled) == (True, False)
    assert production.default.rollout is not None
    assert production.default.rollout.exposure_ppm == 50_000


async def test_only_what_changes_gets_a_revision(running: RunningNode) -> None:
    """An edit of one environment leaves the others as they were; an owner is served nowhere."""
    await put(running, flag_document(environments={"production": rolled_out(5), "staging": rolled_out(50)}))
    before = await running.revisions()

    await put(running, flag_document(environments={"staging": rolled_out(60)}))
    await put(running, flag_document(owner="somebody"))
    same = await put(running, flag_document(owner="somebody"))

    after = await running.revisions()
    assert after == {**before, "staging": before["staging"] + 1}
    assert same.json()["notes"] == ["nothing changed"]
    assert same.json()["version"] == 3
    assert same.json()["document"]["environments"] == {"production": rolled_out(5), "staging": rolled_out(60)}


async def test_a_write_from_an_old_version_is_refused(running: RunningNode) -> None:
    """Two writes from the same version: the first wins, the second gets 412; creating twice gets 412 too."""
    await put(running, flag_document())
    first = await put(running, flag_document(owner="a"), **{"If-Match": '"1"'})
    second = await put(running, flag_document(owner="b"), **{"If-Match": '"1"'})
    again = await put(running, flag_document(owner="c"), **{"If-None-Match": "*"})
    missing = await put(running, flag_document("other"), **{"If-Match": "*"})

    assert [answer.status_code for answer in (first, second, again, missing)] == [200, 412, 412, 412]
    assert second.headers["content-type"] == "application/problem+json"
    assert second.json()["type"] == "urn:rheostat:problem:version-conflict"
    assert (await running.admin.get(f"{FLAGS}/checkout")).json()["document"]["owner"] == "a"


async def test_twenty_writers_at_once_get_gapless_revisions_in_commit_order(running: RunningNode) -> None:
    """Twenty concurrent writes give twenty revisions in a row, and the audit log has them in that order."""
    start = (await running.revisions())["production"]
    answers = await asyncio.gather(
        *(put(running, flag_document(f"flag-{n}", environments={"production": rolled_out(n)})) for n in range(20))
    )

    assert [answer.status_code for answer in answers] == [201] * 20
    assert (await running.revisions())["production"] == start + 20
    async with running.node.storage.transaction() as tx:
        here = await tx.environments.get("default", "production")
        rows = [row for row in await tx.served.since(here.id, start) if row.kind == "flag"]
        entries = await tx.audit.read(project="default", limit=20)
    assert [row.revision for row in rows] == list(range(start + 1, start + 21))
    assert [row.key for row in rows] == [entry.subject for entry in reversed(entries)]


async def test_twenty_writers_of_one_flag_lose_no_write(running: RunningNode) -> None:
    """Concurrent patches of one flag all take effect, each as a version of its own."""
    await put(running, flag_document())
    patches = [{"metadata": {f"writer-{n}": n}} for n in range(20)]
    answers = await asyncio.gather(*(running.admin.patch(f"{FLAGS}/checkout", json=patch) for patch in patches))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 22))
    document = (await running.admin.get(f"{FLAGS}/checkout")).json()["document"]
    assert document["metadata"] == {f"writer-{n}": n for n in range(20)}


async def test_every_fault_is_named_and_nothing_is_changed(running: RunningNode) -> None:
    """A document with faults changes nothing; each fault has its path, a wrong environment a suggestion."""
    before = await running.revisions()
    answer = await put(
        running,
        flag_document(
            environments={
                "prodution": rolled_out(5),
                "staging": rolled_out(
                    5,
                    prerequisites=[{"flag": "nothing", "variants": ["on"]}],
                    rules=[{"name": "beta", "when": {"all": [{"segment": "beta"}]}, "serve": "on"}],
                ),
            }
        ),
    )

    assert answer.status_code == 422
    faults = {fault["path"]: fault for fault in answer.json()["faults"]}
    assert faults["environments.prodution"]["hint"] == "did you mean production?"
    assert "environments.staging.prerequisites[0].flag" in faults
    assert "environments.staging.rules[0].when.all[0].segment" in faults
    assert await running.revisions() == before
    assert (await running.admin.get(f"{FLAGS}/checkout")).status_code == 404


async def test_prerequisites_never_go_in_a_circle(running: RunningNode) -> None:
    """A write that would close a circle of prerequisites is refused, however long the circle."""

    def needs(key: str, other: str) -> dict[str, Any]:
        return flag_document(
            key, environments={"production": rolled_out(5, prerequisites=[{"flag": other, "variants": ["on"]}])}
        )

    await put(running, flag_document("c"))
    assert (await put(running, needs("b", "c"))).status_code == 201
    assert (await put(running, needs("a", "b"))).status_code == 201
    closed = await put(running, needs("c", "a"))

    assert closed.status_code == 422
    assert closed.json()["faults"][0]["message"] == "this goes in a circle: c → a → b → c"
    renamed = await put(running, {**flag_document("c"), "variants": {"yes": True, "off": False}})
    assert renamed.json()["faults"][0]["message"] == "b needs the variant 'on' of this flag in production"


async def test_a_write_reads_no_more_flags_than_it_is_about(running: RunningNode) -> None:
    """Of many flags a write reads its own, those with prerequisites and those that it names; all for a hint alone."""
    for number in range(20):
        await put(running, flag_document(f"other-{number}"))
    needs = rolled_out(5, prerequisites=[{"flag": "other-3", "variants": ["on"]}])
    await put(running, flag_document("needs", environments={"production": needs}))
    told = flag_document("told", description='"prerequisites":[{"flag"', tags=["prerequisites"])
    await put(running, told)

    async with running.node.storage.transaction() as tx:
        catalogue = await lock_catalogue(tx, "default", ["other-1", "new"])
        naming = msgspec.convert({**flag_document("new"), "environments": {"production": needs}}, FlagDocument)
        after = await catalogue.after(tx, {"new": naming})

    assert set(catalogue.rows) == {"other-1", "needs"}
    assert set(after) == {"other-1", "needs", "other-3", "new"}
    wrong = rolled_out(5, prerequisites=[{"flag": "other-33", "variants": ["on"]}])
    refused = await put(running, flag_document("new", environments={"production": wrong}))
    assert "other-3" in refused.json()["faults"][0]["hint"]


async def test_a_patch_merges(running: RunningNode) -> None:
    """A merge patch changes what it names, removes by null, and cannot take an environment away."""
    await put(running, flag_document(owner="a", tags=["x"], environments={"production": rolled_out(5)}))
    enabled = await running.admin.patch(
        f"{FLAGS}/checkout", json={"owner": None, "environments": {"production": {"enabled": False}}}
    )
    gone = await running.admin.patch(f"{FLAGS}/checkout", json={"environments": {"production": None}})
    wrong = await running.admin.patch(f"{FLAGS}/checkout", json={"environments": {"production": {"enabled": 1}}})

    document = enabled.json()["document"]
    assert "owner" not in document
    assert document["tags"] == ["x"]
    assert document["environments"]["production"] == {"default": rolled_out(5)["default"]}
    assert gone.status_code == 422
    assert gone.json()["faults"][0]["path"] == "environments.production"
    assert wrong.status_code == 422
    assert wrong.json()["faults"][0]["path"] == "environments.production.enabled"


async def test_history_diff_and_restore(running: RunningNode) -> None:
    """Each version is kept; restoring one writes it again, exactly, as a new version."""
    await put(running, flag_document(environments={"production": rolled_out(5)}))
    await put(running, flag_document(owner="x", environments={"staging": rolled_out(1), "production": rolled_out(50)}))
    diff = (await running.admin.get(f"{FLAGS}/checkout/diff")).json()
    restored = await running.admin.post(f"{FLAGS}/checkout/restore", json={"version": 1, "note": "it hurt"})
    history = (await running.admin.get(f"{FLAGS}/checkout/history")).json()["versions"]
    first = (await running.admin.get(f"{FLAGS}/checkout/versions/1")).json()["document"]
    same = (await running.admin.get(f"{FLAGS}/checkout/diff", params={"from": 1, "to": 3})).json()

    assert (diff["from"], diff["to"]) == (1, 2)
    path = "environments.production.default.rollout.exposure"
    assert {"path": path, "before": 5, "after": 50} in diff["changes"]
    assert any(line.startswith("+") and "staging" in line for line in diff["lines"])
    assert restored.status_code == 200, restored.text
    assert restored.json()["version"] == 3
    assert restored.json()["document"] == first
    assert same["lines"] == same["changes"] == []
    assert [(version["version"], version["action"], version.get("note")) for version in history] == [
        (3, "restore", "it hurt"),
        (2, "put", None),
        (1, "create", None),
    ]
    assert (await running.admin.get(f"{FLAGS}/checkout/versions/9")).status_code == 404
    assert (await running.admin.post(f"{FLAGS}/checkout/restore", json={"version": 9})).status_code == 404


async def test_archiving_what_is_needed_is_refused_unless_forced(running: RunningNode) -> None:
    """A prerequisite, or a flag evaluated in the last 7 days, is archived by force only; who needs it is named."""
    await put(running, flag_document("payments"))
    needs = rolled_out(5, prerequisites=[{"flag": "payments", "variants": ["on"]}])
    await put(running, flag_document("checkout", environments={"production": needs}))
    await put(running, flag_document("old"))
    async with running.node.storage.transaction() as tx:
        here = await tx.environments.get("default", "production")
        now_ms = running.clock.wall_ms()
        count = EvaluationCount(here.id, "payments", "on", "shop", now_ms // 86_400_000, 3, now_ms)
        await tx.outcomes.count_evaluations([count])

    refused = await running.admin.post(f"{FLAGS}/payments/archive", json={})
    assert refused.status_code == 422
    detail = refused.json()["detail"]
    assert "payments is a prerequisite of checkout (production)" in detail
    assert "evaluated in the last 7 days by shop in production" in detail
    assert (await running.admin.post(f"{FLAGS}/old/archive")).status_code == 200
    forced = await running.admin.post(f"{FLAGS}/payments/archive", json={"force": True})
    assert forced.json()["archived"] is True
    served = await running.served(since=1)
    assert served["flag", "payments"] is None
    listed = (await running.admin.get(FLAGS)).json()["flags"]
    assert [flag["key"] for flag in listed] == ["checkout"]
    assert (await put(running, flag_document("old"))).status_code == 409
    back = await running.admin.post(f"{FLAGS}/payments/unarchive")
    assert back.json()["archived"] is False
    assert (await running.served(since=1))["flag", "payments"] is not None


async def test_after_a_week_without_evaluation_a_flag_is_archived(running: RunningNode) -> None:
    """A flag whose last evaluation is more than 7 days old is archived without force."""
    await put(running, flag_document("old"))
    async with running.node.storage.transaction() as tx:
        here = await tx.environments.get("default", "production")
        now_ms = running.clock.wall_ms()
        count = EvaluationCount(here.id, "old", "on", "shop", now_ms // 86_400_000, 3, now_ms)
        await tx.outcomes.count_evaluations([count])
    running.clock.advance(7 * 86_400 - 1)
    assert (await running.admin.post(f"{FLAGS}/old/archive")).status_code == 422
    running.clock.advance(2)
    assert (await running.admin.post(f"{FLAGS}/old/archive")).status_code == 200


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, ["a", "b", "c"]),
        ({"tag": "x"}, ["a", "c"]),
        ({"query": "SHOP"}, ["b"]),
        ({"limit": "2"}, ["a", "b"]),
        ({"limit": "2", "after": "b"}, ["c"]),
        ({"archived": "true"}, ["d"]),
    ],
)
async def test_flags_are_listed(running: RunningNode, query: dict[str, str], keys: list[str]) -> None:
    """A list is filtered by tag, text and archive, and goes on after a key."""
    await put(running, flag_document("a", tags=["x"]))
    await put(running, flag_document("b", description="of the shop"))
    await put(running, flag_document("c", tags=["y", "x"]))
    await put(running, flag_document("d"))
    await running.admin.post(f"{FLAGS}/d/archive")
    page = (await running.admin.get(FLAGS, params=query)).json()

    assert [flag["key"] for flag in page["flags"]] == keys
    assert page["next"] == ("b" if query == {"limit": "2"} else None)


async def test_whoever_writes_reads_what_they_wrote(running: RunningNode) -> None:
    """The evaluation right after a write's answer, on the same node, has the write: thirty times in a row."""
    headers = {"x-api-key": running.sdk_key}
    async with httpx.AsyncClient(base_url=running.url, headers=headers) as client:
        for number in range(30):
            await put(running, flag_document(environments={"production": rolled_out(100 * (number % 2))}))
            answer = await client.post(
                "/ofrep/v1/evaluate/flags/checkout", json={"context": {"targetingKey": "user-1"}}
            )
            assert answer.json()["value"] is bool(number % 2)


async def test_without_the_database_a_write_is_unavailable_and_answers_go_on(
    running: RunningNode, database: Database
) -> None:
    """With the database away a write gets 503 with Retry-After in whole seconds; evaluations are answered."""
    await put(running, flag_document(environments={"production": rolled_out(100)}))
    await database.close()

    refused = await put(running, flag_document(owner="late"))
    assert refused.status_code == 503
    assert refused.headers["retry-after"].isdigit()
    assert refused.json()["type"] == "urn:rheostat:problem:storage-unavailable"
    async with httpx.AsyncClient(base_url=running.url, headers={"x-api-key": running.sdk_key}) as client:
        answer = await client.post("/ofrep/v1/evaluate/flags/checkout", json={"context": {"targetingKey": "u"}})
        assert answer.json()["value"] is True
        assert (await client.get("/readyz")).status_code == 200


async def test_a_flag_that_clients_can_steer_is_kept_with_a_warning(running: RunningNode) -> None:
    """A client writes its own context: rules of a client flag on attributes are told to the writer, not refused."""
    when = {"attribute": "email", "operator": "ends_with", "values": ["@example.com"]}
    production = {**rolled_out(5), "rules": [{"name": "staff", "when": when, "serve": "on"}]}

    told = await put(running, flag_document(client=True, environments={"production": production}))
    quiet = await put(running, flag_document("other", environments={"production": production}))

    assert told.status_code == quiet.status_code == 201
    (note,) = told.json()["notes"]
    assert note.startswith("warning: environments.production.rules[0].when: ")
    assert "email" in note
    assert quiet.json()["notes"] == []
