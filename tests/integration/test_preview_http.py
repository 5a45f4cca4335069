"""Who would move by a write, over HTTP: nothing is changed, and ramps in force count."""

from typing import Any

import httpx

from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"


async def preview(client: httpx.AsyncClient, document: Any, key: str = "checkout") -> httpx.Response:
    return await client.post(f"{FLAGS}/{key}/preview", json={"document": document})


async def test_a_preview_says_who_moves_and_changes_nothing(running: RunningNode) -> None:
    """From 5 % to 10 %, 5 % of users gain `on` there and nobody elsewhere; the version stays; reading is enough."""
    await running.admin.put(
        f"{FLAGS}/checkout", json=flag_document(environments={"production": rolled_out(5), "staging": rolled_out(5)})
    )
    before = await running.revisions()
    reader = await running.token_of(scope="read")

    answer = await preview(reader, flag_document(environments={"production": rolled_out(10)}))

    assert answer.status_code == 200, answer.text
    assert answer.json()["action"] == "update"
    assert answer.json()["environments"] == {
        "production": {
            "rollouts": [
                {
                    "rollout": "default",
                    "least": 5,
                    "most": 5,
                    "before": 5,
                    "after": 10,
                    "moves": [{"kind": "gain", "share": 5, "from": "off", "to": "on"}],
                }
            ],
            "targets": [],
            "values": [],
            "least": 5,
            "most": 5,
            "summary": ["rule default: 5 % → 10 %: 5 % of users gain `on`"],
        }
    }
    assert await running.revisions() == before
    assert (await running.admin.get(f"{FLAGS}/checkout")).json()["version"] == 1


async def test_a_dry_run_says_who_moves_by_each_document(running: RunningNode) -> None:
    """Each flag of a dry run has its own moves, a new flag too; applying for real has none to tell."""
    await running.admin.put(f"{FLAGS}/a", json=flag_document("a", environments={"production": rolled_out(50)}))
    documents = [
        flag_document("a", environments={"production": {"enabled": False}}),
        flag_document("b", environments={"staging": rolled_out(20)}),
    ]

    looked = await running.admin.post("/projects/default/apply", json={"documents": documents, "dry_run": True})
    done = await running.admin.post("/projects/default/apply", json={"documents": documents})

    told = {
        change["key"]: {name: here["summary"] for name, here in change["moves"].items()}
        for change in looked.json()["changes"]
    }
    assert told == {
        "a": {"production": ["rule default: 50 % of users lose `on` for `off`"]},
        "b": {"staging": ["rule default: 20 % of users gain `on`"]},
    }
    assert [change["moves"] for change in done.json()["changes"]] == [{}, {}]


async def test_a_live_ramp_that_the_write_aborts_is_counted(running: RunningNode) -> None:
    """What is in force counts: a document's 60 % over its own 0 takes from the 100 % of the ramp that it aborts."""
    await running.admin.put(f"{FLAGS}/checkout", json=flag_document(environments={"production": rolled_out(0)}))
    ramp = {
        "kind": "ramp",
        "flag": "checkout",
        "environment": "production",
        "steps": [50, 100],
        "users": 100_000,
        "preflight": "0s",
    }
    ramps = "/projects/default/environments/production/ramps"
    started = await running.admin.post(ramps, json=ramp)
    assert started.status_code == 201, started.text
    advanced = await running.admin.post(f"{ramps}/{started.json()['id']}/advance", json={"reason": "test"})
    assert advanced.status_code == 200, advanced.text
    answer = await preview(running.admin, flag_document(environments={"production": rolled_out(60)}))

    row = answer.json()["environments"]["production"]["rollouts"][0]
    assert (row["before"], row["after"]) == (100, 60)
    assert row["moves"] == [{"kind": "lose", "share": 40, "from": "on", "to": "off"}]


async def test_what_could_not_be_written_has_no_preview(running: RunningNode) -> None:
    """A preview refuses what the write would: faults, another key, a document that is none."""
    answers = [
        await preview(running.admin, flag_document(off_variant="of")),
        await preview(running.admin, flag_document("other")),
        await preview(running.admin, 5),
        await preview(running.admin, {**flag_document(), "kind": "segment"}),
        await running.admin.post("/projects/never/flags/checkout/preview", json={"document": flag_document()}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 404]
    assert [fault["path"] for answer in answers[:4] for fault in answer.json()["faults"]] == [
        "document.off_variant",
        "document.key",
        "document",
        "document.kind",
    ]
