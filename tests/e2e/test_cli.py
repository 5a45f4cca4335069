"""Every command of ``rheostat``, as a process, against a running server."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command, as the administrator of a running server."""
    with a_server() as (stage, _):
        yield Cli(tmp_path_factory.mktemp("home"), url=stage.url, token=stage.token, sdk_key=stage.sdk_key)


def a_flag(key: str, exposure: float = 0) -> dict[str, Any]:
    rollout = {"exposure": exposure, "split": {"on": 1}, "fallback": "off"}
    return {
        "kind": "flag",
        "key": key,
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "off_variant": "off",
        "environments": {"production": {"enabled": True, "default": {"rollout": rollout}}},
    }


def test_a_flag_is_made_turned_up_and_read(cli: Cli) -> None:
    """`flag create`, `rollout`, `disable`, `enable`, `get`, `list` change and show what is served."""
    assert cli("flag", "create", "life").startswith("life is at version 1; production: 0 %")
    assert cli.evaluate("life") is False

    assert "production: 100 %" in cli("flag", "rollout", "life", "100")
    assert cli.evaluate("life") is True
    cli("flag", "disable", "life")
    assert cli.evaluate("life") is False
    cli("flag", "enable", "life")
    assert cli.evaluate("life") is True

    document = YAML(typ="safe", pure=True).load(cli("flag", "get", "life"))
    assert document == a_flag("life", 100)
    row = next(line for line in cli("flag", "list").splitlines() if line.startswith("life "))
    assert row.split()[:4] == ["life", "boolean", "100", "%"]
    staging = next(line for line in cli("-e", "staging", "flag", "list").splitlines() if line.startswith("life "))
    assert "disabled" in staging


def test_a_flag_exists_once(cli: Cli) -> None:
    """`flag create` never overwrites; a flag that is not there is an error with its name."""
    cli("flag", "create", "once", "--exposure", "5")

    assert "once" in cli.fails("flag", "create", "once")
    assert cli.json("flag", "get", "once")["version"] == 1
    assert "there is no flag 'never'" in cli.fails("flag", "rollout", "never", "10")


def test_a_flag_has_a_history(cli: Cli) -> None:
    """`history`, `diff`, `restore`, `archive` and `unarchive` move along a flag's versions."""
    cli("flag", "create", "past")
    cli("flag", "rollout", "past", "40")

    assert [line.split()[0] for line in cli("flag", "history", "past").splitlines()] == ["VERSION", "2", "1"]
    changed = [line[1:].strip() for line in cli("flag", "diff", "past").splitlines() if line[:2] in {"- ", "+ "}]
    assert changed == ['"exposure": 0,', '"exposure": 40,']
    assert cli("flag", "diff", "past", "1", "2") == cli("flag", "diff", "past")

    assert "version 3, which is version 1 again" in cli("flag", "restore", "past", "1", "--note", "too early")
    assert cli.json("flag", "get", "past")["document"] == a_flag("past")
    assert cli.json("flag", "history", "past")["versions"][0]["note"] == "too early"

    cli("flag", "archive", "past")
    assert "past " in cli("flag", "list", "--archived")
    assert cli.evaluate("past") is None
    cli("flag", "unarchive", "past")
    assert cli.evaluate("past") is False


def test_a_flag_is_put_from_a_file_or_a_pipe(cli: Cli, tmp_path: Path) -> None:
    """`flag put FILE` writes a document, `flag put -` what comes through the pipe; other environments stay."""
    file = tmp_path / "flag.json"
    file.write_text(json.dumps(a_flag("put", 100)))
    cli("flag", "put", str(file))
    staging = a_flag("put") | {"environments": {"staging": {"enabled": True, "default": {"serve": "on"}}}}

    cli("flag", "put", "-", stdin=json.dumps(staging))

    environments = cli.json("flag", "get", "put")["document"]["environments"]
    assert environments["production"] == a_flag("put", 100)["environments"]["production"]
    assert environments["staging"]["default"] == {"serve": "on"}
    faulty = json.dumps(a_flag("put") | {"off_variant": "of"})
    assert "off_variant" in cli.fails("flag", "put", "-", stdin=faulty)


def test_a_kill_stands_until_somebody_revives(cli: Cli) -> None:
    """`flag kill` takes a flag back whatever is written afterwards; `flag revive` lifts it; both ask for a reason."""
    cli("flag", "create", "risky", "--exposure", "100")
    assert "--reason" in cli.fails("flag", "kill", "risky", code=2)
    assert cli.evaluate("risky") is True

    assert "risky is killed in production" in cli("flag", "kill", "risky", "--reason", "smoke")
    assert cli.evaluate("risky") is False
    cli("flag", "rollout", "risky", "99")
    assert cli.evaluate("risky") is False
    assert "killed" in cli("flag", "get", "risky")

    cli("flag", "revive", "risky", "--reason", "out")
    cli("flag", "rollout", "risky", "100")
    assert cli.evaluate("risky") is True
    told = cli("changes", "--since", "10m")
    assert "smoke" in told
    assert "out" in told


def test_documents_are_applied_and_exported(cli: Cli, tmp_path: Path) -> None:
    """`apply` makes a project hold what files say, `--dry-run` tells, `--prune` archives, `export` gives it back."""
    cli.api("POST", "/projects", {"key": "shelf", "name": "Shelf"})
    cli.api("POST", "/projects/shelf/environments", {"key": "production", "name": "Production"})
    both = tmp_path / "flags.yaml"
    both.write_text("\n---\n".join(json.dumps(a_flag(key, 10)) for key in ("one", "two")))
    one = tmp_path / "one.json"
    one.write_text(json.dumps(a_flag("one", 20)))

    assert "+ flag one: create" in cli("-p", "shelf", "apply", str(both), "--dry-run")
    assert "There are no flags" in cli("-p", "shelf", "flag", "list")
    cli("-p", "shelf", "apply", str(both))
    assert cli("-p", "shelf", "apply", str(both)).splitlines() == ["= flag one: unchanged", "= flag two: unchanged"]

    told = cli("-p", "shelf", "apply", str(one), "--prune")
    assert "~ flag one: update (production)" in told
    assert "- flag two: archive" in told

    kept = tmp_path / "export.yaml"
    cli("-p", "shelf", "export", "-o", str(kept))
    assert list(YAML(typ="safe", pure=True).load_all(kept.read_text())) == [a_flag("one", 20)]
    assert cli("-p", "shelf", "export") == kept.read_text()
    assert "= flag one: unchanged" in cli("-p", "shelf", "apply", str(kept))


def test_faults_are_found_without_a_server(cli: Cli, tmp_path: Path) -> None:
    """`validate` names every fault with its file and path; `apply` refuses the same and changes nothing."""
    file = tmp_path / "flags.yaml"
    wrong = a_flag("wrong") | {"owners": "me"}
    file.write_text("\n---\n".join(json.dumps(document) for document in (a_flag("right"), wrong)))

    said = cli.fails("--url", "http://127.0.0.1:1", "validate", str(file))

    assert f"{file}#2: owners" in said
    assert "owners" in cli.fails("apply", str(file))
    assert "there is no flag" in cli.fails("flag", "get", "right")
    told = json.loads(cli.run("validate", "--json", str(file), code=1).stdout)
    assert (told["documents"], len(told["faults"])) == (2, 1)
    file.write_text(json.dumps(a_flag("right")))
    assert cli("validate", str(file)) == "1 document: no faults\n"


def test_sdk_keys_are_made_rotated_and_revoked(cli: Cli) -> None:
    """A key's secret is alone on standard output; both keys of a rotation work; a revoked one does not."""
    cli("flag", "create", "locked", "--exposure", "100")
    secret = cli("key", "create", "--label", "shop").strip()
    assert cli.evaluate("locked", sdk_key=secret) is True
    (made,) = [one for one in cli.json("key", "list")["keys"] if one["label"] == "shop"]

    successor = cli("key", "rotate", made["id"]).strip()
    assert [cli.evaluate("locked", sdk_key=one) for one in (secret, successor)] == [True, True]

    cli("key", "label", made["id"], "old shop")
    assert "old shop" in cli("key", "list")
    cli("key", "revoke", made["id"][:13])
    assert cli.status(secret) == 401
    assert cli.status(successor) == 200
    assert "there is none with the id 'zzz'" in cli.fails("key", "revoke", "zzz")


def test_api_tokens_bind_what_they_may_do(cli: Cli) -> None:
    """A read token reads and writes nothing; revoked, it is refused, and the message says what to do."""
    secret = cli("token", "create", "--label", "auditor", "--scope", "read").strip()
    (made,) = [one for one in cli.json("token", "list")["tokens"] if one["label"] == "auditor"]

    cli("--token", secret, "flag", "list")
    assert "read" in cli.fails("--token", secret, "flag", "create", "forbidden")

    cli("token", "revoke", made["id"])
    assert "rheostat token reset" in cli.fails("--token", secret, "flag", "list")


def test_a_ramp_is_steered(cli: Cli) -> None:
    """`ramp start`, `status`, `pause`, `resume` and `abort` say where the ramp stands; one that is over stays so."""
    cli("flag", "create", "steered")
    started = cli("ramp", "start", "steered", "--users", "100000", "--preflight", "1h", "--steps", "5,50,100")
    assert started.startswith("steered: arming 59:5") or started.startswith("steered: arming 1:00:00")
    ramp_id = cli.json("ramp", "status", "steered")["id"]

    panel = cli("ramp", "status", "steered")
    assert [row.split()[0] for row in panel.splitlines() if "ahead" in row] == ["100", "50", "5"]
    assert ramp_id in panel
    assert "paused" in cli("ramp", "pause", "steered", "--reason", "lunch")
    assert "paused" in cli("ramp", "status")
    cli("ramp", "resume", ramp_id)
    assert cli.json("ramp", "status", ramp_id)["status"] in {"arming", "blind"}
    assert "abort it first" in cli.fails("ramp", "start", "steered", "--users", "100000")

    assert "aborted" in cli("ramp", "abort", "steered", "--reason", "enough")
    assert "over" in cli.fails("ramp", "resume", "steered")
    assert "there is no ramp of 'nobody'" in cli.fails("ramp", "status", "nobody")


def test_a_ramp_is_watched_to_its_end(cli: Cli, tmp_path: Path) -> None:
    """`ramp start -f` takes a document, `watch` ends with the ramp (0: promoted), `approve` opens a manual gate."""
    cli("flag", "create", "gated")
    file = tmp_path / "ramp.yaml"
    steps = [{"exposure": 10, "min_dwell": "1s", "gate": "manual"}, {"exposure": 100, "min_dwell": "1s"}]
    plan = {"kind": "ramp", "flag": "gated", "environment": "production", "steps": steps, "unguarded": True}
    file.write_text(json.dumps(plan | {"preflight": "0s", "soak": "1s"}))
    cli("ramp", "start", "-f", str(file))

    cli.until("ramp", "status", "gated", fits=lambda view: view["status"] == "awaiting-approval")
    with cli.starts("ramp", "watch", "gated", "--json") as watching:
        cli("ramp", "approve", "gated", "--reason", "looks good")
        out, _ = watching.communicate(timeout=60)

    views = [json.loads(line) for line in out.splitlines()]
    assert watching.returncode == 0
    assert views[-1]["status"] == "promoted"
    assert views[-1]["exposure"] == 100
    assert cli.evaluate("gated") is True
    assert "in force 100 % by a ramp" in cli("flag", "get", "gated")


def test_a_ramp_is_decided_again(cli: Cli, tmp_path: Path) -> None:
    """`ramp decisions` shows the log; `ramp replay` finds that it follows again, or the first row that does not."""
    cli("flag", "create", "logged")
    cli("ramp", "start", "logged", "--users", "100000", "--preflight", "1h", "--steps", "5,50")
    cli("ramp", "pause", "logged", "--reason", "lunch")
    cli.until("ramp", "decisions", "logged", fits=lambda log: len(log["decisions"]) > 3)
    cli("ramp", "abort", "logged", "--reason", "enough")

    table = cli("ramp", "decisions", "logged")
    assert "pause by " in table
    assert "series absent" in table
    assert "the pre-flight has begun" in table
    assert [one["kind"] for one in cli.json("ramp", "decisions", "logged", "--kind", "abort")["decisions"]] == ["abort"]
    assert "Nothing was decided" in cli("ramp", "decisions", "logged", "--kind", "kill", "--since", "1h")
    assert "'hopes'" in cli.fails("ramp", "decisions", "logged", "--kind", "hopes")
    assert "all agree" in cli("ramp", "replay", "logged")
    log = cli.json("ramp", "decisions", "logged")
    file = tmp_path / "log.json"
    file.write_text(json.dumps(log))
    assert f"{len(log['decisions'])} decisions, all agree" in cli("ramp", "replay", "--file", str(file))
    log["decisions"][1]["detail"]["status"] = "killed"
    file.write_text(json.dumps(log))
    told = cli.run("ramp", "replay", "--file", str(file), code=1).stdout
    assert "row 2" in told
    assert "then: killed" in told
    file.write_text(json.dumps({"decisions": log["decisions"][1:]}))
    assert "do not begin" in cli.fails("ramp", "replay", "--file", str(file))
    file.write_text("no log")
    assert "is no log" in cli.fails("ramp", "replay", "--file", str(file))
    assert "name a ramp" in cli.fails("ramp", "replay")


def test_a_watch_ends_badly_with_the_ramp(cli: Cli) -> None:
    """`ramp watch` exits with 1 when the ramp was taken back, and into a pipe it prints a line for each move."""
    cli("flag", "create", "watched")
    cli("ramp", "start", "watched", "--users", "100000")
    with cli.starts("ramp", "watch", "watched") as watching:
        assert watching.stdout is not None
        assert "Z watched: " in watching.stdout.readline()
        cli("flag", "kill", "watched", "--reason", "no")
        out, _ = watching.communicate(timeout=60)

    assert watching.returncode == 1
    assert any("Z watched: kill, killed at 0 %: " in line for line in out.splitlines())


def test_changes_are_told_apart_by_place(cli: Cli) -> None:
    """`changes` is about the project; with -e about that environment; a wrong time is refused."""
    cli("-e", "staging", "flag", "create", "placed")
    cli("-e", "staging", "flag", "rollout", "placed", "30")

    staging = cli("-e", "staging", "changes", "--since", "10m")
    assert "changed placed" in staging
    assert "changed placed" not in cli("-e", "development", "changes", "--since", "10m")
    assert "changed placed" in cli("changes", "--all")
    assert "since" in cli.fails("changes", "--since", "yesterday")


def test_options_are_taken_before_and_after_the_command(cli: Cli) -> None:
    """-e, -p, --url, --token and --json mean the same in front of the command, of its group, and behind it."""
    cli("flag", "create", "anywhere")
    wanted = cli.json("flag", "list", "-e", "staging", "-p", "default")

    assert json.loads(cli("--json", "-e", "staging", "flag", "list")) == wanted
    assert json.loads(cli("flag", "--json", "-e", "staging", "list")) == wanted
    assert "IN DEVELOPMENT" in cli("-e", "staging", "flag", "list", "-e", "development")
    assert "there is no environment 'nowhere'" in cli.fails("-e", "nowhere", "flag", "list")
    assert "there is no project 'nowhere'" in cli.fails("-p", "nowhere", "flag", "list")


def test_profiles_keep_servers_under_names(cli: Cli) -> None:
    """A profile gives URL, token and environment; one that is named wins over the variables; tokens stay secret."""
    known = {"--url": cli.url, "--token": cli.token, "-e": "staging"}
    cli("profile", "set", "work", *(part for pair in known.items() for part in pair))
    cli("profile", "set", "away", "--url", "http://127.0.0.1:1")
    bare = cli.without("RHEOSTAT_URL", "RHEOSTAT_TOKEN")

    assert "IN STAGING" in cli("--profile", "work", "flag", "list")
    assert "127.0.0.1:1" in cli.fails("--profile", "away", "flag", "list")
    assert "Give a token" in bare.fails("--url", cli.url, "flag", "list")
    bare("profile", "use", "work")
    assert "IN STAGING" in bare("flag", "list")
    assert cli.token not in bare("profile", "list")
    assert "there is no profile 'home'" in bare.fails("--profile", "home", "flag", "list")
    bare("profile", "use", "away")
    bare("profile", "remove", "work")
    assert set(bare.json("profile", "list")["profiles"]) == {"away"}
    bare("profile", "remove", "away")


def test_what_is_piped_is_plain(cli: Cli) -> None:
    """Into a pipe go no colours, no padding, and one line a row, however long; a reader that leaves is no error."""
    for number in range(3):
        cli("flag", "create", f"{'long-' * 20}{number}")
    out = cli("flag", "list")
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())
    assert sum("long-" in line for line in out.splitlines()) == 3

    for command in (("export",), ("flag", "list"), ("flag", "list", "--json")):
        with cli.starts(*command) as piped:
            assert piped.stdout is not None
            piped.stdout.close()
            assert piped.stderr is not None
            assert piped.stderr.read() == ""
        assert piped.returncode == 0, command


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("flag", "rollout", "x"), 2, "PERCENT"),
        (("flag", "lst"), 2, "No such command 'lst'"),
        (("--url", "http://127.0.0.1:1", "flag", "list"), 1, "Is the server running"),
        (("--url", "nonsense", "flag", "list"), 1, "RHEOSTAT_URL"),
        (("--token", "rht_unknown_unknown", "flag", "list"), 1, "rheostat token reset"),
        (("flag", "put", "missing.yaml"), 1, "missing.yaml"),
        (("ramp", "start", "x", "--steps", "1,x"), 1, "1,5,25,50,100"),
        (("serve", "--port", "many"), 1, "RHEOSTAT_PORT"),
    ],
)
def test_a_failure_says_what_to_do(cli: Cli, arguments: tuple[str, ...], code: int, hint: str) -> None:
    """A wrong command line exits with 2, a refusal with 1; standard output stays empty, and no traceback is shown."""
    ended = cli.run(*arguments, code=code)

    assert hint in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_whoever_has_the_machine_gets_back_in(tmp_path: Path) -> None:
    """`token reset` makes a new admin token and revokes the former, with the server running and with it stopped."""
    with a_server() as (stage, data):
        lost = Cli(tmp_path, url=stage.url, token=stage.token, sdk_key=stage.sdk_key)
        running = lost("token", "reset", "--data-dir", str(data)).strip()
        found = Cli(tmp_path, url=stage.url, token=running, sdk_key=stage.sdk_key)
        found.until("flag", "list", fits=lambda body: body["flags"] == [])
        assert "unknown or revoked" in lost.fails("flag", "list")

        assert stage.server is not None
        assert stage.server.stop(signal.SIGINT) == 0
        assert "Stopping" in stage.server.output
        stopped = json.loads(lost("token", "reset", "--json", "--data-dir", str(data)))["secret"]
    assert len({stage.token, running, stopped}) == 3


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the demo stops its server, database, shop and Prometheus, and takes its files away."""
    with subprocess.Popen(
        [sys.executable, "-m", "rheostat_server", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=Cli(tmp_path, url="", token="", sdk_key="").environ | {"PYTHONUNBUFFERED": "1"},
    ) as demo:
        assert demo.stdout is not None
        directory = ""
        for line in demo.stdout:
            if line.startswith("evidence:"):
                directory = _directory_of_child(demo.pid)
                demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    assert directory
    assert not Path(directory).exists()
    assert _commands_with(directory) == []


def _commands_with(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in command:
                found.append(command)
    return found


def _directory_of_child(pid: int) -> str:
    """Return the data directory's parent of the server that this process has started."""
    for child in (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split():
        environ = (Path("/proc") / child / "environ").read_bytes().split(b"\0")
        for entry in environ:
            if entry.startswith(b"RHEOSTAT_DATA_DIR="):
                return str(Path(entry.partition(b"=")[2].decode()).parent)
    raise AssertionError("the demo has no server")


def test_an_answer_is_explained(cli: Cli) -> None:
    """`flag explain` walks from rule to place, ends in what the user gets, and prints the API's JSON if asked."""
    rule = {
        "name": "staff",
        "when": {"any": [{"attribute": "email", "operator": "ends_with", "values": ["@example.com"]}]},
        "serve": "on",
    }
    document = a_flag("why", 50)
    document["environments"]["production"]["rules"] = [rule]
    cli("flag", "put", "-", stdin=json.dumps(document))

    told = cli("flag", "explain", "why", "--context", '{"targetingKey": "user-1"}')

    given = "on (true)" if cli.evaluate("why") else "off (false)"
    assert f": {given}, SPLIT" in told.splitlines()[0]
    assert 'unknown email ends_with "@example.com"; the context has none' in told
    assert "exposed below 500000" in told
    found = cli.json("flag", "explain", "why", "--context", '{"targetingKey": "u", "email": "ada@example.com"}')
    assert found["steps"][-1]["name"] == "staff"
    assert found["evaluation"]["variant"] == "on"
    assert "is not a JSON object" in cli.fails("flag", "explain", "why", "--context", "[]")
    assert "no flag 'never'" in cli.fails("flag", "explain", "never", "--context", "{}")


def test_who_moves_is_said_before_a_write(cli: Cli, tmp_path: Path) -> None:
    """Commands that write a flag, and `apply`, print who moves first; `--dry-run` too, and `--json` does not."""
    cli("flag", "create", "moves", "--exposure", "5")

    told = cli("flag", "rollout", "moves", "10").splitlines()
    assert told[0] == "production: rule default: 5 % → 10 %: 5 % of users gain `on`"
    assert told[1].startswith("moves is at version 2")
    lost = "production: rule default: 10 % of users lose `on` for `off`"
    assert lost in cli("flag", "disable", "moves")
    assert "10 % of users gain `on`" in cli("flag", "restore", "moves", "2")
    assert cli.json("flag", "rollout", "moves", "20")["version"] == 5

    file = tmp_path / "moves.json"
    file.write_text(json.dumps(a_flag("moves", 100)))
    gained = "moves in production: rule default: 20 % → 100 %: 80 % of users gain `on`"
    assert gained in cli("apply", str(file), "--dry-run").splitlines()
    assert cli("apply", str(file)).splitlines()[0] == gained
    assert "gain" not in cli("apply", str(file))


def test_usage_and_stale_flags_are_shown(cli: Cli) -> None:
    """`flag usage` has each variant with its last evaluation, `flag stale` the flags that can go, with why."""
    cli("flag", "create", "usage")

    rows = [line.split() for line in cli("flag", "usage", "usage").splitlines()]
    assert ["production", "on", "0", "never"] in rows
    assert cli.json("flag", "usage", "usage")["variants"][0]["evaluations"] == 0
    assert cli("flag", "stale") == "No flag is stale.\n"
    assert cli.json("flag", "stale") == {"flags": []}
