"""Templates of ramps over the admin API: kept as segments are, taken by documents, and by environments as a default."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.integration.documents_api import HERE, HOME, RAMPS, TEMPLATES, Api, documents_api
from tests.integration.ramp_world import ENVIRONMENT, FLAG, ramp_world

CAREFUL: dict[str, Any] = {
    "kind": "template",
    "key": "careful",
    "steps": [1, 10, 50],
    "preflight": "1m",
    "soak": "2h",
    "guardrails": [{"metric": "request-success-rate", "threshold": 99}],
    "owner": "payments",
}


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """A world in which the flag is written."""
    async with ramp_world(database) as world:
        await world.put()
        async with documents_api(world) as made:
            yield made


async def put(api: Api, status: int = 201, **changes: Any) -> Any:
    """Write the template."""
    document = {**CAREFUL, **changes}
    return await api.ask("PUT", f"{TEMPLATES}/{document['key']}", document, status=status)


async def test_a_template_is_kept_with_its_versions(api: Api) -> None:
    """PUT makes and changes it, with conditions; GET, list, history and versions show it; DELETE takes it away."""
    assert (await put(api))["version"] == 1
    assert (await put(api, status=200))["notes"] == ["nothing changed"]
    assert (await put(api, status=200, soak="1h"))["version"] == 2
    answer = await api._client.put(f"{TEMPLATES}/careful", json=CAREFUL, headers={"If-Match": '"1"'})
    assert answer.status_code == 412, answer.text

    found = await api.ask("GET", f"{TEMPLATES}/careful")
    assert (found["kind"], found["document"], found["used_by"]) == (
        "template",
        {**CAREFUL, "soak": "1h"} | {"steps": [{"exposure": 1}, {"exposure": 10}, {"exposure": 50}]},
        [],
    )
    assert [one["key"] for one in (await api.ask("GET", TEMPLATES))["items"]] == ["careful"]
    assert [one["version"] for one in (await api.ask("GET", f"{TEMPLATES}/careful/history"))["versions"]] == [2, 1]
    assert (await api.ask("GET", f"{TEMPLATES}/careful/versions/1"))["document"]["soak"] == "2h"

    await api.ask("DELETE", f"{TEMPLATES}/careful", status=204)
    await api.ask("GET", f"{TEMPLATES}/careful", status=404)
    audited = [action for action in await api.world.audited() if action.startswith("template.")]
    assert audited == ["template.create", "template.put", "template.delete"]


async def test_a_template_with_faults_is_not_kept(api: Api) -> None:
    """Every fault is named; nothing is written."""
    refused = await put(api, status=422, steps=[5, 1], soak="soon", flag=FLAG)

    assert {fault["path"] for fault in refused["faults"]} == {"steps[1]", "soak", "flag"}
    await api.ask("GET", f"{TEMPLATES}/careful", status=404)


async def test_a_ramp_takes_what_it_does_not_say_from_the_template(api: Api) -> None:
    """Its own fields go first; the view and its notes tell what came from where, and which version it was."""
    await put(api)
    view = await api.ask(
        "POST", RAMPS, {"flag": FLAG, "template": "careful", "soak": "5m", "guardrails": []}, status=201
    )

    assert view["steps"] == [1, 10, 50]
    assert (view["plan"]["soak_s"], view["plan"]["preflight_s"]) == (300, 60)
    assert view["plan"]["guardrails"][0].get("ceiling") is None
    assert view["notes"][0] == "template careful, version 1: it gives steps, preflight"
    assert (view["template"], view["template_version"]) == ("careful", 1)
    assert view["document"]["template"] == "careful"
    assert "steps" not in view["document"], "the document is kept as it was given"

    # What has started is as it was, whatever becomes of the template.
    await put(api, status=200, soak="9h")
    await api.ask("DELETE", f"{TEMPLATES}/careful", status=204)
    assert (await api.ask("GET", f"{RAMPS}/{view['id']}"))["template_version"] == 1


async def test_a_templates_block_is_translated_where_it_is_taken(api: Api) -> None:
    """The template keeps Flagger's block; the start says what changes, and `rule: threshold` finds it."""
    block = {"stepWeight": 20, "maxWeight": 40, "metrics": [{"name": "request-success-rate", "threshold": 99}]}
    document = {"kind": "template", "key": "flagger", "analysis": block}
    await api.ask("PUT", f"{TEMPLATES}/flagger", document, status=201)
    assert (await api.ask("GET", f"{TEMPLATES}/flagger"))["document"] == document

    view = await api.ask("POST", RAMPS, {"flag": FLAG, "template": "flagger"}, status=201)
    assert (view["steps"], view["rule"]) == ([20, 40, 100], "guard")
    assert any(note.startswith("analysis.threshold: ") for note in view["notes"])
    await api.ask("POST", f"{RAMPS}/{view['id']}/abort", {})
    counted = await api.ask("POST", RAMPS, {"flag": FLAG, "template": "flagger", "rule": "threshold"}, status=201)
    assert (counted["steps"], counted["rule"], counted["counting"]["like"]) == ([20, 40, 100], "threshold", "flagger")
    await api.ask("POST", f"{RAMPS}/{counted['id']}/abort", {})

    refused = await api.ask("POST", RAMPS, {"flag": FLAG, "template": "flagger", "users": 20}, status=422)
    assert {fault["path"] for fault in refused["faults"]} == {"analysis"}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"template": "carefull"}, "template", "did you mean careful?"),
        ({"template": "careful", "max_dwell": "1s", "min_dwell": "2s"}, "max_dwell", "1s is less than min_dwell, 2s"),
        ({"template": "careful", "unguarded": True}, "unguarded", "(with the template careful)"),
        ({"template": 5}, "template", "not text"),
    ],
)
async def test_what_is_wrong_with_a_template_is_a_fault_of_the_document(
    api: Api, changes: dict[str, Any], path: str, words: str
) -> None:
    """An unknown one is named with what was meant; what only both together have says so. Nothing starts."""
    await put(api)
    refused = await api.ask("POST", RAMPS, {"flag": FLAG, **changes}, status=422)

    assert any(one["path"] == path and words in f"{one}" for one in refused["faults"]), refused
    assert (await api.ask("GET", RAMPS))["ramps"] == []


async def test_an_environment_has_a_template_by_default(api: Api) -> None:
    """Ramps that name none take it, `none` takes none; it is not deleted while it is one, nor an unknown one set."""
    await put(api)
    refused = await api.ask("PATCH", HERE, {"default_template": "carefull"}, status=422)
    assert refused["faults"] == [
        {"path": "default_template", "message": "there is no template 'carefull'", "hint": "did you mean careful?"}
    ]
    assert (await api.ask("PATCH", HERE, {"default_template": "careful"}))["default_template"] == "careful"

    used = (await api.ask("GET", f"{TEMPLATES}/careful"))["used_by"]
    assert used == [{"kind": "environment", "key": ENVIRONMENT, "path": "default_template"}]
    refused = await api.ask("DELETE", f"{TEMPLATES}/careful", status=409)
    assert refused["detail"] == "the template careful is used by the environment production; take it out of there first"

    by_default = await api.ask("POST", RAMPS, {"flag": FLAG}, status=201)
    assert by_default["steps"] == [1, 10, 50]
    assert by_default["notes"][0].startswith("template careful, version 1, the default of production: it gives steps")
    await api.ask("POST", f"{RAMPS}/{by_default['id']}/abort", {})
    without = await api.ask("POST", RAMPS, {"flag": FLAG, "template": "none"}, status=201)
    assert (without["steps"], without["template"]) == ([1, 5, 10, 25, 50, 100], None)
    await api.ask("POST", f"{RAMPS}/{without['id']}/abort", {})

    renamed = await api.ask("PATCH", HERE, {"name": "Live"})
    assert (renamed["name"], renamed["default_template"]) == ("Live", "careful")
    assert (await api.ask("PATCH", HERE, {"default_template": None}))["default_template"] is None
    await api.ask("DELETE", f"{TEMPLATES}/careful", status=204)
    assert [action for action in await api.world.audited() if action == "environment.change"] == [
        "environment.change"
    ] * 3


async def test_templates_are_applied_and_exported(api: Api) -> None:
    """Files have them beside flags; an export gives them back; prune deletes those that the files lack, unless used."""
    flag = (await api.ask("GET", f"{HOME}/flags/{FLAG}"))["document"]
    applied = await api.apply(flag, CAREFUL)
    assert [(one["kind"], one["action"]) for one in applied["changes"]] == [
        ("template", "create"),
        ("flag", "unchanged"),
    ]
    exported = (await api.ask("GET", f"{HOME}/export"))["documents"]
    assert [one["kind"] for one in exported] == ["template", "flag"]
    again = await api.apply(*exported)
    assert {one["action"] for one in again["changes"]} == {"unchanged"}

    await api.ask("PATCH", HERE, {"default_template": "careful"})
    refused = await api.apply(flag, prune=True, status=409)
    assert "used by the environment production" in refused["detail"]
    await api.ask("PATCH", HERE, {"default_template": None})
    pruned = await api.apply(flag, prune=True)
    assert ("template", "delete") in [(one["kind"], one["action"]) for one in pruned["changes"]]


async def test_templates_and_their_ramps_are_applied_at_once(api: Api) -> None:
    """A ramp takes a template that is among the same documents, as it will be; an unknown one refuses all of it."""
    flag = (await api.ask("GET", f"{HOME}/flags/{FLAG}"))["document"]
    ramp = {"kind": "ramp", "flag": FLAG, "environment": ENVIRONMENT, "template": "careful"}
    refused = await api.apply(flag, ramp, start_ramps=True, status=422)
    assert [one["path"] for one in refused["faults"]] == ["documents[1].template"]

    started = await api.apply(ramp, {**CAREFUL, "soak": "7m"}, flag, start_ramps=True)

    assert [one["action"] for one in started["changes"]] == ["create", "unchanged", "start"]
    [view] = (await api.ask("GET", RAMPS))["ramps"]
    assert (view["plan"]["soak_s"], view["template"]) == (420, "careful")
