"""A real Alertmanager that kills a ramping flag, configured as the how-to says."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from rheostat_server.demo.processes import free_port
from tests.e2e.cli_process import Cli, a_server

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to/kill-from-alertmanager.md"
RULES = ROOT / "deploy/prometheus/rheostat-alerts.yml"


@contextlib.contextmanager
def an_alertmanager(directory: Path, config: str) -> Iterator[str]:
    """Run Alertmanager; give its URL."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert program is not None, "Alertmanager is not installed: scripts/need-test-programs"
    (directory / "alertmanager.yml").write_text(config)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={directory}/alertmanager.yml",
        f"--storage.path={directory}/alertmanager",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with (
        (directory / "alertmanager.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait(lambda: httpx.get(f"{url}/-/ready").status_code == 200)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def wait(fits: Any, within: float = 60) -> None:
    """Wait until something is so; while it fails to connect it is not."""
    end = time.monotonic() + within
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if fits():
                return
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)


def config_of_how_to() -> str:
    """Return Alertmanager's configuration as the how-to has it."""
    [found] = [
        block for block in re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL) if "receivers:" in block
    ]
    return str(found)


def post(url: str, labels: dict[str, str], *, ends: bool = False) -> None:
    """Give Alertmanager an alert, as Prometheus does."""
    now = datetime.now(UTC).isoformat()
    alert = {
        "labels": {"alertname": "CheckoutPaymentsFail", **labels},
        "annotations": {"summary": "More than 5 % of payments fail"},
        "generatorURL": "http://prometheus.example.com/graph",
        **({"endsAt": now} if ends else {}),
    }
    httpx.post(f"{url}/api/v2/alerts", json=[alert]).raise_for_status()


def test_alertmanager_kills_a_ramping_flag_and_says_what_matches_nothing(tmp_path: Path) -> None:
    """By the how-to's own configuration: one kill with its reason; an alert that names no flag is in the audit."""
    with a_server() as (stage, _):
        rheostat = Cli(tmp_path, url=stage.url, token=stage.token, sdk_key=stage.sdk_key)
        rheostat("flag", "create", "checkout-v2")
        rheostat("ramp", "start", "checkout-v2", "--steps", "10,50,100")
        secret = rheostat("hook", "create", "--label", "alertmanager", "--only-environment", "production").strip()
        (tmp_path / "secret").write_text(secret)
        config = config_of_how_to()
        for said, meant in (
            ("https://rheostat.example.com", stage.url),
            ("/etc/alertmanager/rheostat-hook", str(tmp_path / "secret")),
        ):
            assert said in config
            config = config.replace(said, meant)
        names = {"rheostat_project": "default", "rheostat_environment": "production"}
        kills = "/projects/default/environments/production/kills"

        with an_alertmanager(tmp_path, config) as url:
            post(url, {"rheostat_flag": "checkout-v2", **names})
            wait(lambda: rheostat.api("GET", kills, None)["kills"])
            post(url, {"rheostat_flag": "no-such-flag", **names})
            wait(lambda: "1 alert killed nothing: CheckoutPaymentsFail" in rheostat("changes"))
            post(url, {"rheostat_flag": "checkout-v2", **names}, ends=True)

        [kill] = rheostat.api("GET", kills, None)["kills"]
        assert (kill["flag"], kill["scope"], kill["rollout"], kill["revived_at"]) == (
            "checkout-v2",
            "rollout",
            "default",
            None,
        )
        assert (kill["source"], kill["actor"]) == ("alertmanager", "alertmanager")
        assert kill["reason"] == (
            "alert CheckoutPaymentsFail: More than 5 % of payments fail (http://prometheus.example.com/graph)"
        )
        assert rheostat.json("ramp", "status", "checkout-v2")["status"] == "killed"
        [hook] = rheostat.json("hook", "list")["hooks"]
        assert hook["last_used_at"] is not None
        metrics = httpx.get(f"{stage.url}/metrics").text
        assert 'rheostat_hook_alerts_total{result="killed"} 1.0' in metrics


def test_the_alert_rules_are_prometheus_rules() -> None:
    """promtool reads the rule file that is shipped; every metric of ours that it names is one that a node shows."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is not installed: scripts/need-test-programs"

    checked = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    shown = "".join(path.read_text() for path in (ROOT / "server/rheostat_server/adapters/metrics").glob("*.py"))
    named = set(re.findall(r"rheostat_[a-z_]+", "\n".join(re.findall(r"expr: (.*)", RULES.read_text()))))
    assert named
    for name in named:
        assert f'"{name.removesuffix("_total")}"' in shown, name
