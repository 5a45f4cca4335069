"""The file that ``RHEOSTAT_LABEL_MAP`` names: names of other people's metrics, in YAML."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rheostat_server.errors import Invalid, StartupRefused
from rheostat_server.ramps.label_map import MetricMap, label_map_of

_SETTING = "RHEOSTAT_LABEL_MAP"


def read_label_map(name: str) -> dict[str, MetricMap]:
    """Return the maps of a file, with the presets that it does not replace.

    Raises:
        StartupRefused: it cannot be read or has faults; the message is one line.
    """
    try:
        text = Path(name).expanduser().read_text(encoding="utf-8")
        data = YAML(typ="safe", pure=True).load(text)
    except OSError as error:
        raise StartupRefused(f"{_SETTING}: {name}: {error.strerror}") from error
    except (UnicodeDecodeError, YAMLError) as error:
        line = " ".join(str(error).split())
        raise StartupRefused(f"{_SETTING}: {name} is no YAML: {line}") from error
    try:
        return label_map_of({} if data is None else data)
    except Invalid as error:
        raise StartupRefused(f"{_SETTING}: {name}: {'; '.join(map(str, error.faults))}") from error
