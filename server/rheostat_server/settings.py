"""All configuration of the server. Nothing else in the server reads the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from rheostat_server.errors import StartupRefused

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Server settings. Each name is ``RHEOSTAT_<NAME>`` in the environment."""

    host: str = "127.0.0.1"
    port: Port = 8080
    data_dir: str = ".rheostat"
    database_url: str | None = None
    redis_url: str | None = None
    prometheus_url: str | None = None
    admin_token: Annotated[str, msgspec.Meta(min_length=16)] | None = None
    sdk_key: Annotated[str, msgspec.Meta(min_length=16)] | None = None
    cors_origins: str = ""
    log_level: str = "info"
    poll_seconds: Seconds = 1.0
    tick_seconds: Seconds = 1.0
    prometheus_interval: Seconds = 15.0
    clock_offset_file: str | None = None

    @property
    def data_path(self) -> Path:
        """The data directory as an absolute path."""
        return Path(self.data_dir).expanduser().absolute()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Build settings from an environment; an empty variable counts as absent.

    Raises:
        StartupRefused: a value is wrong; the message names the variable.
    """
    given: dict[str, str] = {}
    for field in Settings.__struct_fields__:
        if value := environ.get(f"RHEOSTAT_{field.upper()}", ""):
            given[field] = value
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`").upper()
        raise StartupRefused(f"RHEOSTAT_{name}: {message}" if name else message) from error
