"""Settings of Prometheus that belong together, and the file of label maps."""

from pathlib import Path

import pytest

from rheostat_server.errors import StartupRefused
from rheostat_server.label_map_file import read_label_map
from rheostat_server.ramps.label_map import PRESETS
from rheostat_server.settings import read_settings

P = "RHEOSTAT_PROMETHEUS_"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TOKEN": "t", "TOKEN_FILE": "f"}, "TOKEN_FILE: give either this or RHEOSTAT_PROMETHEUS_TOKEN"),
        (
            {"USERNAME": "u", "PASSWORD": "p", "PASSWORD_FILE": "f"},
            "PASSWORD_FILE: give either this or RHEOSTAT_PROMETHEUS_PASSWORD",
        ),
        ({"USERNAME": "u", "TOKEN_FILE": "f"}, "USERNAME: give either this or a token"),
        ({"PASSWORD": "p"}, "PASSWORD: give RHEOSTAT_PROMETHEUS_USERNAME as well"),
        ({"KEY_FILE": "k"}, "KEY_FILE: give RHEOSTAT_PROMETHEUS_CERT_FILE as well"),
        ({"TOKEN": "two words"}, "TOKEN: give visible characters"),
        ({"TENANT": "a\nb"}, "TENANT: give visible characters"),
        ({"TIMEOUT": "61"}, "TIMEOUT: give a number of seconds above 0, at most 60"),
    ],
)
def test_settings_that_contradict_each_other_stop_the_start(environ: dict[str, str], said: str) -> None:
    """The line names the variable and what would do, and no secret."""
    with pytest.raises(StartupRefused) as refused:
        read_settings({f"{P}{name}": value for name, value in environ.items()})

    assert str(refused.value).startswith(f"{P}{said}")


def test_a_label_map_is_read_from_its_file(tmp_path: Path) -> None:
    """Maps of the file stand beside the presets; an empty file adds none."""
    file = tmp_path / "labels.yaml"
    file.write_text("edge: {requests: edge_total, bad: 'code=\"5xx\"'}\n")

    assert read_label_map(str(file)).keys() == PRESETS.keys() | {"edge"}
    file.write_text("")
    assert read_label_map(str(file)) == PRESETS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("edge: {requests: a}\n", "edge.bad: this field is required"),
        ("a: [1\n", "is no YAML"),
        ("- a\n", "not an object"),
    ],
)
def test_a_faulty_label_map_stops_the_start(tmp_path: Path, text: str, said: str) -> None:
    """One line names the setting, the file and the fault."""
    file = tmp_path / "labels.yaml"
    file.write_text(text)

    with pytest.raises(StartupRefused, match=said) as refused:
        read_label_map(str(file))

    assert str(refused.value).startswith("RHEOSTAT_LABEL_MAP: ")
    assert "\n" not in str(refused.value)
    with pytest.raises(StartupRefused, match="No such file"):
        read_label_map(str(tmp_path / "none"))
