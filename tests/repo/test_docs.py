"""The pages under docs/: links that lead somewhere, commands that exist, documents of which every field is told."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from rheostat.model.document import GuardrailDocument, RampDocument, StepDocument
from rheostat_server.cli.main import rheostat

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def ids(page: Path) -> str:
    """Name a page by its path."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return what a link may name behind `#` in this page."""
    text = _FENCE.sub("", page.read_text())
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = set(re.findall(r'<a id="([^"]+)">', text))
    return named | {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and a heading of it."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def commands(page: Path) -> Iterator[str]:
    """Return the lines of the page that are typed and begin with the command."""
    for line in page.read_text().replace("\\\n", " ").splitlines():
        # What a shell does with its exit code is not the command's.
        text = line.strip().partition(" || ")[0]
        if text.startswith("rheostat ") and (line.startswith("    ") or text == line.rstrip()):
            yield text


TYPED = [(page, line) for page in PAGES if page.name != "cli.md" for line in commands(page)]


@pytest.mark.parametrize(("page", "line"), TYPED, ids=lambda value: value if isinstance(value, str) else value.stem)
def test_commands_that_are_shown_exist(page: Path, line: str) -> None:
    """A command in a page is one of ours, with arguments and options that it takes. Nothing is run."""
    words = shlex.split(line, comments=True)[1:]
    context, command = click.Context(rheostat), rheostat
    with context:
        rest = words
        here: click.Command = command
        while isinstance(here, click.Group):
            name, found, rest = here.resolve_command(context, here.make_parser(context).parse_args(list(rest))[1])
            assert found is not None, f"{ids(page)}: {line}"
            here = found
            context = click.Context(here, info_name=name, parent=context)
        try:
            here.make_parser(context).parse_args(list(rest))
        except click.UsageError as error:
            pytest.fail(f"{ids(page)}: {line}: {error.format_message()}")


def test_the_pages_show_commands() -> None:
    """There is something to be checked in the pages for people in a hurry."""
    shown = {page.name for page, _ in TYPED}

    assert {"on-call.md", "first-ramp.md", "it-killed-my-flag.md", "ramps.md"} <= shown


RAMPS = (ROOT / "docs" / "reference" / "ramps.md").read_text()


def told(text: str) -> set[str]:
    """Return the names in the first cells of a text's table rows."""
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def section(title: str) -> str:
    """Return a section of the page, to the next heading of whatever level."""
    return re.split(r"^#+ ", RAMPS.split(f"\n{title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize(
    ("struct", "text"),
    [(RampDocument, section("## The document")), (GuardrailDocument, section("### Guardrails"))],
    ids=["RampDocument", "GuardrailDocument"],
)
def test_every_field_of_a_ramp_is_told(struct: type[msgspec.Struct], text: str) -> None:
    """The tables of docs/reference/ramps.md have each field of the document; its own table has no other name."""
    fields = set(struct.__struct_encode_fields__)
    extra: set[Any] = {"kind"} if struct is RampDocument else set()

    assert not fields - told(RAMPS), "fields that the page does not have"
    assert not told(text) - fields - extra, "names that are no fields"


def test_every_field_of_a_step_is_told() -> None:
    """The paragraph on steps as objects names each of their fields."""
    [paragraph] = [part for part in RAMPS.split("\n\n") if part.startswith("A step as an object has")]

    assert set(re.findall(r"`(\w+)(?:: \w+)?`", paragraph)) == set(StepDocument.__struct_encode_fields__)
