"""``rheostat segment`` and ``rheostat layer``, as a process, against a running server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SEGMENT = "kind: segment\nkey: beta\nincluded: [ann]\nowner: ann@example.com\n"
LAYER = "kind: layer\nkey: search\n"
FLAG = """kind: flag
key: new-search
type: boolean
variants: {on: true, off: false}
off_variant: off
environments:
  production:
    enabled: true
    rules:
    - name: beta
      when: {segment: beta}
      serve: on
    default:
      rollout:
        exposure: 50
        split: {on: 1}
        fallback: off
        layer: search
        range: [0, 40]
"""


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command, as the administrator of a running server."""
    with a_server() as (stage, _):
        yield Cli(tmp_path_factory.mktemp("home"), url=stage.url, token=stage.token, sdk_key=stage.sdk_key)


@pytest.mark.parametrize(("kind", "key", "text"), [("segment", "beta", SEGMENT), ("layer", "search", LAYER)])
def test_what_flags_share_is_kept_and_looked_after(cli: Cli, tmp_path: Path, kind: str, key: str, text: str) -> None:
    """`put`, `get`, `list`, `used-by`, `history` and `delete` of a segment and of a layer; what is used stays."""
    cli.api("POST", "/projects", {"key": f"with-{kind}", "name": "Shared"})
    cli.api("POST", f"/projects/with-{kind}/environments", {"key": "production", "name": "Production"})
    here = ("-p", f"with-{kind}")
    assert f"There are no {kind}s" in cli(*here, kind, "list")
    assert cli(*here, kind, "put", "-", stdin=text) == f"{key} is at version 1, used by nothing\n"
    assert "nothing changed" in cli(*here, kind, "put", "-", stdin=text)
    assert cli(*here, kind, "used-by", key) == f"Nothing uses {key}.\n"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(LAYER if kind == "segment" else SEGMENT)
    assert "`rheostat apply` takes it" in cli.fails(*here, kind, "put", str(wrong))

    files = tmp_path / "all.yaml"
    files.write_text("---\n".join((FLAG, SEGMENT, LAYER)))
    told = cli(*here, "apply", str(files))
    assert "+ flag new-search: create" in told
    assert f"= {kind} {key}: unchanged" in told
    assert "flag new-search" in cli(*here, kind, "list")
    assert "# version 1, used by flag new-search" in cli(*here, kind, "get", key)
    assert "environments.production." in cli(*here, kind, "used-by", key)
    assert f"the {kind} {key} is used by the flag new-search (production)" in cli.fails(*here, kind, "delete", key)

    exported = list(YAML(typ="safe", pure=True).load_all(cli(*here, "export")))
    assert [one["kind"] for one in exported] == ["segment", "layer", "flag"]
    cli(*here, "flag", "archive", "new-search")
    assert cli(*here, kind, "delete", key) == f"{key} is deleted\n"
    assert f"there is no {kind}" in cli.fails(*here, kind, "get", key)
    versions = json.loads(cli(*here, kind, "history", key, "--json"))["versions"]
    assert [one["action"] for one in versions] == ["delete", "create"]
    assert "delete" in cli(*here, kind, "history", key)
