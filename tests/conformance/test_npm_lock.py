"""What npm installs for the tests is pinned by content, from whichever registry the machine uses."""

import json

from tests.conformance.npm_clients import HERE, LOCK


def test_the_lock_has_hashes_and_no_addresses() -> None:
    """Every package has an integrity hash and no address, and those asked for have exact versions."""
    packages = {name: entry for name, entry in json.loads(LOCK.read_text())["packages"].items() if name}
    asked = json.loads((HERE / "package.json").read_text())["dependencies"]

    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
    for name, version in asked.items():
        assert packages[f"node_modules/{name}"]["version"] == version
