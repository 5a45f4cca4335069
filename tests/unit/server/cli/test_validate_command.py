"""``rheostat validate`` finds in files what ``rheostat apply`` would refuse."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.documents import check, validate
from rheostat_server.cli.yaml_files import read_documents

FLAG = """kind: flag
key: checkout
type: boolean
variants: {on: true, off: false}
"""
RAMP = """kind: ramp
flag: checkout
environment: production
steps: [10, 100]
"""


def a_file(folder: Path, *documents: str) -> str:
    """Write a file of these documents."""
    path = folder / "flags.yaml"
    path.write_text("---\n".join(documents), encoding="utf-8")
    return str(path)


def test_a_flag_and_its_ramp_may_stand_in_one_file(tmp_path: Path) -> None:
    """Ramps are documents that files may hold."""
    result = CliRunner().invoke(validate, [a_file(tmp_path, FLAG, RAMP)])

    assert (result.exit_code, result.output) == (0, "2 documents: no faults\n")


def test_files_hold_documents_of_every_kind(tmp_path: Path) -> None:
    """Segments, layers and templates are checked as flags are; only two of one kind may not have one key."""
    segment, layer = "kind: segment\nkey: checkout\n", "kind: layer\nkey: checkout\n"
    found = CliRunner().invoke(validate, [a_file(tmp_path, FLAG, segment, layer, "kind: template\nkey: checkout\n")])
    assert (found.exit_code, found.output) == (0, "4 documents: no faults\n")
    with pytest.raises(CommandFailed, match=r"(?s)flags\.yaml#1: inclded: .*#2: key: .*#1 has the key 'checkout' too"):
        check(read_documents([a_file(tmp_path, segment + "inclded: [a]\n", segment)]))
    with pytest.raises(
        CommandFailed, match=r"kind: \['flag'\] is not a kind of document \(flag, segment, layer, template, ramp\)"
    ):
        check(read_documents([a_file(tmp_path, FLAG.replace("flag", "[flag]"))]))


def test_two_flags_of_one_key_are_a_fault(tmp_path: Path) -> None:
    """What apply refuses over all documents is found too: a key that is there twice."""
    with pytest.raises(CommandFailed, match=r"flags\.yaml#2: key: .*flags\.yaml#1 has the key 'checkout' too"):
        check(read_documents([a_file(tmp_path, FLAG, FLAG)]))


def test_faults_as_json_fail_the_command(tmp_path: Path) -> None:
    """With ``--json`` the faults are listed, and the exit code says that there are some."""
    result = CliRunner().invoke(validate, [a_file(tmp_path, RAMP.replace("10,", "1000,")), "--json"])

    assert result.exit_code == 1
    assert len(json.loads(result.output)["faults"]) == 1
