"""Documents in files."""

from pathlib import Path

import pytest

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.yaml_files import read_documents, to_yaml


def test_on_off_and_no_are_text(tmp_path: Path) -> None:
    """YAML 1.2: words that older YAML took for booleans are variants and countries here."""
    file = tmp_path / "flag.yaml"
    file.write_text("variants: {on: true, off: false}\nserve: on\ncountries: [no, se]\nyes: 1\n")

    (document,) = read_documents([str(file)])

    assert document.data == {
        "variants": {"on": True, "off": False},
        "serve": "on",
        "countries": ["no", "se"],
        "yes": 1,
    }


def test_many_documents_a_file_are_told_apart(tmp_path: Path) -> None:
    """Documents of one file are numbered; empty ones do not count."""
    file = tmp_path / "flags.yaml"
    file.write_text("key: a\n---\n---\nkey: b\n")

    documents = read_documents([str(file)])

    assert [(document.source, document.data["key"]) for document in documents] == [
        (f"{file}#1", "a"),
        (f"{file}#2", "b"),
    ]


def test_a_folder_gives_its_documents_in_order(tmp_path: Path) -> None:
    """A folder stands for the YAML and JSON files below it, by name."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.json").write_text('{"key": "two"}')
    (tmp_path / "a.yml").write_text("key: one")
    (tmp_path / "notes.txt").write_text("nothing")

    assert [document.data["key"] for document in read_documents([str(tmp_path)])] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: [1, 2\nb: 3\n", ":2:"), ("a: 1\na: 2\n", ":2:"), ("\tkey: 1\n", ":1:")],
    ids=["open bracket", "a key twice", "a tab"],
)
def test_a_file_that_cannot_be_parsed_names_the_line(tmp_path: Path, text: str, place: str) -> None:
    """A fault in the YAML is reported as file:line:column."""
    file = tmp_path / "broken.yaml"
    file.write_text(text)

    with pytest.raises(CommandFailed) as failure:
        read_documents([str(file)])

    assert f"{file}{place}" in str(failure.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: " + "{a: " * 3000 + "1" + "}" * 3000, "nested too deeply"), ("a: " + "9" * 6000, "cannot be read")],
    ids=["deep", "thousands of digits"],
)
def test_a_file_beyond_reason_is_refused_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    """Without a trace of our own code."""
    file = tmp_path / "huge.yaml"
    file.write_text(text)

    with pytest.raises(CommandFailed, match=f"{file.name}: .*{words}"):
        read_documents([str(file)])


def test_aliases_cannot_make_a_file_endless(tmp_path: Path) -> None:
    """A few lines that stand for 9^9 values are refused, and so is what holds itself; plain aliases are fine."""
    file = tmp_path / "aliases.yaml"
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]

    for text, words in (("\n".join(lines), "more than 1,048,576 values"), ("a: &a {all: [*a, *a]}", "holds itself")):
        file.write_text(text)
        with pytest.raises(CommandFailed, match=words):
            read_documents([str(file)])
    file.write_text("a: &a [1]\nb: *a\n")
    assert read_documents([str(file)])[0].data == {"a": [1], "b": [1]}


@pytest.mark.parametrize("name", ["missing.yaml", "empty.yaml"])
def test_nothing_to_read_is_said(tmp_path: Path, name: str) -> None:
    """A file that is not there, or has no document, is an error."""
    (tmp_path / "empty.yaml").write_text("# only a comment\n")

    with pytest.raises(CommandFailed):
        read_documents([str(tmp_path / name)])


def test_what_is_exported_is_read_again(tmp_path: Path) -> None:
    """Documents survive YAML, also words and numbers that YAML might read otherwise."""
    documents = [{"key": "a", "variants": {"on": "on", "v1": "1", "f": 10.0}, "nothing": None}, {"key": "b"}]
    file = tmp_path / "export.yaml"
    file.write_text(to_yaml(documents))

    again = [document.data for document in read_documents([str(file)])]

    assert again == documents
    assert isinstance(again[0]["variants"]["f"], float)
