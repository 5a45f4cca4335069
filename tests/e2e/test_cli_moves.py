"""Who moves, printed by the commands that write, as a process against a running server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FLAG = """kind: flag
key: KEY
type: boolean
variants: {on: true, off: false}
off_variant: off
environments:
  production:
    enabled: true
    rules:
    - name: members
      when: {segment: beta}
      serve: on
    default:
      rollout: {exposure: 50, split: {on: 1}, fallback: off, layer: search, range: [FROM, TO]}
"""
BETA = "kind: segment\nkey: beta\nincluded: [ann]\n"
LAYER = "kind: layer\nkey: search\n"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command, as the administrator of a running server."""
    with a_server() as (stage, _):
        yield Cli(tmp_path_factory.mktemp("home"), url=stage.url, token=stage.token, sdk_key=stage.sdk_key)


def test_each_write_of_a_flag_says_who_moves(cli: Cli) -> None:
    """Before `create`, `kill`, `revive`, `archive` and `unarchive` it is said who moves; `--json` says nothing else."""
    made = cli("flag", "create", "one", "--exposure", "25").splitlines()
    assert made[0] == "production: rule default: 25 % of users gain `on`"
    assert made[1].startswith("one is at version 1")
    assert "gain" not in cli.fails("flag", "create", "one", "--exposure", "50")

    killed = cli("flag", "kill", "one", "--reason", "test").splitlines()
    assert killed[0] == "production: rule default: 25 % of users lose `on` for `off`"
    assert killed[1].startswith("one is killed")
    assert cli("flag", "revive", "one", "--reason", "test").splitlines() == [
        "production: rule default: 25 % of users gain `on`",
        "one is revived in production.",
    ]
    archived = cli("flag", "archive", "one")
    assert "production: rule default: 25 % of users lose `on` for the caller's default" in archived
    assert cli("flag", "unarchive", "one").splitlines()[0] == "production: rule default: 25 % of users gain `on`"
    assert cli.json("flag", "kill", "one", "--reason", "test")["kills"]
    assert cli.json("flag", "archive", "one", "--force")["archived"]


def test_a_restoration_is_exact(cli: Cli) -> None:
    """An environment that the earlier version did not have is taken back too, and that is said."""
    cli("-e", "staging", "flag", "create", "exact", "--exposure", "10")
    document = cli.json("-e", "staging", "flag", "get", "exact")["document"]
    document["environments"]["production"] = {"enabled": True, "default": {"serve": "on"}}
    assert "production: rule default: 100 % of users gain `on`" in cli("flag", "put", "-", stdin=json.dumps(document))

    restored = cli("flag", "restore", "exact", "1").splitlines()

    assert restored[0] == "production: rule default: 100 % of users lose `on` for `off`"


def test_segments_and_layers_say_who_moves_by_which_flag(cli: Cli, tmp_path: Path) -> None:
    """`segment put`, `layer put` and `apply` name each flag; what moves nobody says nothing."""
    files = tmp_path / "all.yaml"
    first = FLAG.replace("KEY", "first").replace("FROM", "0").replace("TO", "40")
    second = FLAG.replace("KEY", "second").replace("FROM", "40").replace("TO", "50")
    files.write_text("---\n".join((BETA, LAYER, first, second)))
    cli("apply", str(files))

    told = cli("segment", "put", "-", stdin=BETA.replace("[ann]", "[bob]")).splitlines()
    salted = cli("layer", "put", "-", stdin=LAYER + "salt: new\n").splitlines()
    owned = cli("layer", "put", "-", stdin=LAYER + "salt: new\nowner: ann@example.com\n")
    applied = cli("apply", "-", "--dry-run", stdin=LAYER).splitlines()

    assert len(told) > 1
    assert all(line.startswith(("first in production: segment beta: ", "second in production: ")) for line in told[:-1])
    by_layer = [
        "first in production: rule default: 16 % of users who reach it gain `on`; 16 % lose `on` for `off`",
        "second in production: rule default: 4.75 % of users who reach it gain `on`; 4.75 % lose `on` for `off`",
    ]
    assert salted[:2] == by_layer
    assert owned.startswith("search is at version 3")
    assert applied[:2] == by_layer


class _Answers(BaseHTTPRequestHandler):
    """A server whose previews never end, and that notes which kills it got."""

    killed: list[str]
    over: threading.Event

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path.endswith("/preview"):
            self.over.wait(60)
            return
        self.killed.append(self.path)
        body = b'{"kills": [], "notes": []}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def test_a_kill_never_waits_for_its_preview(tmp_path: Path) -> None:
    """With a server that never says who moves, the kill is sent all the same, and asks nothing."""
    over, killed = threading.Event(), list[str]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Answers,), {"over": over, "killed": killed}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        told = Cli(tmp_path, url=url, token="t" * 16, sdk_key="k")("flag", "kill", "one", "--reason", "test")
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()

    assert told.startswith("one is killed in production.")
    assert killed == ["/api/v1/projects/default/environments/production/flags/one/kill"]
