"""Documents in files: YAML 1.2 or JSON, many a file."""

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rheostat_server.cli.connection import CommandFailed

MOST_VALUES: Final = 1 << 20
"""Values of one document, each as often as aliases bring it in: one of 1 MiB has fewer."""


class FileDocument(msgspec.Struct, frozen=True):
    """One document, and where it came from, such as ``flags.yaml#2``."""

    source: str
    data: Any


def read_documents(names: Iterable[str]) -> list[FileDocument]:
    """Read every document of these files; ``-`` is standard input, a folder is its ``*.yaml, *.yml, *.json``.

    Raises:
        CommandFailed: a file cannot be read or parsed; the message has the line.
    """
    found: list[FileDocument] = []
    for name in names:
        for path in _files(name):
            text = sys.stdin.read() if path is None else _text(path)
            source = "standard input" if path is None else str(path)
            documents = list(_parse(text, source))
            for data in documents:
                _refuse_endless(data, source)
            many = len(documents) > 1
            found += [
                FileDocument(f"{source}#{index}" if many else source, data)
                for index, data in enumerate(documents, start=1)
            ]
    if not found:
        raise CommandFailed("there is no document in what was given")
    return found


def to_yaml(documents: Iterable[Any]) -> str:
    """Return the documents as one YAML 1.2 text."""
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.explicit_start = True
    yaml.width = 110
    out = io.StringIO()
    yaml.dump_all(documents, out)
    return out.getvalue()


def _files(name: str) -> Sequence[Path | None]:
    if name == "-":
        return [None]
    path = Path(name)
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.suffix in {".yaml", ".yml", ".json"} and one.is_file())
    return [path]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _parse(text: str, source: str) -> Iterator[Any]:
    # A loader of its own for each file: ruamel keeps state between documents.
    yaml = YAML(typ="safe", pure=True)
    try:
        yield from (data for data in yaml.load_all(text) if data is not None)
    except MarkedYAMLError as error:
        at = error.problem_mark
        place = f"{source}:{at.line + 1}:{at.column + 1}" if at is not None else source
        raise CommandFailed(f"{place}: {error.problem or error.context}") from error
    except YAMLError as error:
        raise CommandFailed(f"{source}: {error}") from error
    except RecursionError as error:
        raise CommandFailed(f"{source}: this is nested too deeply") from error
    except ValueError as error:  # such as a number of thousands of digits
        raise CommandFailed(f"{source}: a value cannot be read: {error}") from error


def _refuse_endless(data: Any, source: str) -> None:
    """Refuse a document that a few aliases make too large to be looked at, or that holds itself.

    Raises:
        CommandFailed: it is such a one.
    """
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if not isinstance(node, (dict, list)):
            return 1
        known = sizes.get(id(node))
        if known == 0:
            raise CommandFailed(f"{source}: what an anchor (&) names holds itself")
        if known is None:
            sizes[id(node)] = 0
            known = sizes[id(node)] = 1 + sum(map(size, node.values() if isinstance(node, dict) else node))
        return known

    try:
        if size(data) > MOST_VALUES:
            raise CommandFailed(
                f"{source}: with what its aliases (*) repeat, this has more than {MOST_VALUES:,} values"
            )
    except RecursionError as error:
        raise CommandFailed(f"{source}: this is nested too deeply") from error
