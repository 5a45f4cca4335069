"""What is published."""

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(project: Path, out: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.mark.parametrize(
    ("project", "package"), [("sdk", "rheostat"), (".", "rheostat_server")], ids=["rheostat", "rheostat-server"]
)
def test_a_wheel_is_whole_and_names_no_path(project: str, package: str, tmp_path: Path) -> None:
    """A wheel has every module of its package and depends on names, never on a path or an address."""
    source = ROOT / project if project != "." else ROOT
    with build(source, tmp_path) as wheel:
        names = set(wheel.namelist())
        (metadata_name,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(wheel.read(metadata_name))
        text = b"".join(wheel.read(name) for name in names if ".dist-info/" in name).decode()

    required = metadata.get_all("Requires-Dist") or []
    assert required
    assert not [line for line in required if "@" in line]
    assert "file:" not in text
    assert str(ROOT) not in text
    root = source / (package if project != "." else f"server/{package}")
    modules = {f"{package}/{path.relative_to(root)}" for path in root.rglob("*.py")}
    assert modules <= names
    assert f"{package}/py.typed" in names
    if package == "rheostat_server":
        assert {f"rheostat_server/_migrations/{path.name}" for path in (ROOT / "migrations").glob("*.sql")} <= names
    else:
        assert not [name for name in names if name.startswith("rheostat_server")]
