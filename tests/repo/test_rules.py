"""Rules of the repository that no linter knows."""

import re
import subprocess
from pathlib import Path

import pytest

from rheostat_server.settings import Settings

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def product_modules() -> list[Path]:
    return tracked("sdk/*.py", "server/*.py")


def test_no_module_is_longer_than_one_sitting() -> None:
    """A Python file of the product has at most 400 lines."""
    long = {
        str(path): count for path in product_modules() if (count := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long


def test_module_names_say_what_is_inside() -> None:
    """No module is called utils, helpers, common, core or manager."""
    assert not [path for path in product_modules() if path.stem in VAGUE or path.parent.name in VAGUE]


def test_every_module_says_what_it_is_about() -> None:
    """A module that has any code opens with a docstring."""
    silent = [path for path in product_modules() if (text := path.read_text().strip()) and not text.startswith('"""')]
    assert not silent


def test_requirements_name_no_index_and_no_path() -> None:
    """Lock files have hashes and no address: they work with whatever index the machine uses."""
    for path in tracked("requirements/*.txt"):
        text = path.read_text()
        assert "http" not in re.sub(r"^(httpx|httpcore|httptools)==.*$", "", text, flags=re.MULTILINE), path
        assert "file:" not in text
        pins = re.findall(r"^[A-Za-z0-9_.\[\]-]+==", text, flags=re.MULTILINE)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize("setting", Settings.__struct_fields__)
def test_every_setting_is_documented(setting: str) -> None:
    """Each setting has a heading in docs/reference/settings.md."""
    text = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert f"### `RHEOSTAT_{setting.upper()}`" in text


def test_links_in_documents_lead_somewhere() -> None:
    """A relative link in a Markdown file names a file or folder that is there."""
    broken = []
    for path in tracked("*.md"):
        targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        broken += [
            f"{path.relative_to(ROOT)}: {target}"
            for target in targets
            if "://" not in target and not (path.parent / target).exists()
        ]
    assert not broken
