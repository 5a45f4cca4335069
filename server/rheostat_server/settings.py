"""All configuration of the server. Nothing else in the server reads the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from rheostat_server.errors import StartupRefused
from rheostat_server.notifications.addresses import allowed_networks
from rheostat_server.notifications.smtp_address import mailbox, smtp_server

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
SampleSize = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Secret = Annotated[str, msgspec.Meta(min_length=16, pattern=r"^[!-~]+$")]
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/]")]
HeaderValue = Annotated[str, msgspec.Meta(pattern=r"^[!-~]+$")]
Timeout = Annotated[float, msgspec.Meta(gt=0, le=60)]
RedisUrl = Annotated[str, msgspec.Meta(pattern=r"^(rediss?|unix)://")]

_LONG_WORDS = "at least 16 visible characters, without spaces"
_WANTED = {
    "port": "a whole number, 0 … 65535",
    "redis_url": "a Redis URL, such as redis://127.0.0.1:6379",
    "prometheus_url": "a URL, such as http://127.0.0.1:9090",
    "prometheus_token": "visible characters, without spaces",
    "prometheus_tenant": "visible characters, without spaces",
    "prometheus_timeout": "a number of seconds above 0, at most 60",
    "admin_token": _LONG_WORDS,
    "sdk_key": _LONG_WORDS,
    "poll_seconds": "a number of seconds above 0, at most 86400",
    "tick_seconds": "a number of seconds above 0, at most 86400",
    "preview_sample": "a whole number, 0 … 10000",
    "kill_confirm_seconds": "a number of seconds above 0, at most 86400",
    "prometheus_interval": "a number of seconds above 0, at most 86400",
    "public_url": "a URL, such as https://flags.example.com",
}
"""What to give for a setting that can be wrong. A value is not repeated: some are secret."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Server settings. Each name is ``RHEOSTAT_<NAME>`` in the environment."""

    host: str = "127.0.0.1"
    port: Port = 8080
    data_dir: str = ".rheostat"
    database_url: str | None = None
    redis_url: RedisUrl | None = None
    prometheus_url: HttpUrl | None = None
    prometheus_username: str | None = None
    prometheus_password: str | None = None
    prometheus_password_file: str | None = None
    prometheus_token: HeaderValue | None = None
    prometheus_token_file: str | None = None
    prometheus_ca_file: str | None = None
    prometheus_cert_file: str | None = None
    prometheus_key_file: str | None = None
    prometheus_tenant: HeaderValue | None = None
    prometheus_timeout: Timeout = 5.0
    prometheus_replica_labels: str = "prometheus,prometheus_replica,receive_replica,__replica__"
    label_map: str | None = None
    admin_token: Secret | None = None
    sdk_key: Secret | None = None
    cors_origins: str = ""
    log_level: str = "info"
    poll_seconds: Seconds = 1.0
    tick_seconds: Seconds = 1.0
    prometheus_interval: Seconds = 15.0
    kill_confirm_seconds: Seconds = 10.0
    preview_sample: SampleSize = 0
    public_url: HttpUrl | None = None
    notify_allow_private: str = ""
    smtp_url: str | None = None
    smtp_from: str | None = None
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
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`")
        raise StartupRefused(f"RHEOSTAT_{name.upper()}: give {_WANTED.get(name, message)}") from error
    _check_together(settings)
    _check_notifying(settings)
    return settings


def _check_notifying(settings: Settings) -> None:
    """Raise ``StartupRefused`` where notifications could not leave as they are meant to."""
    try:
        allowed_networks(settings.notify_allow_private)
    except ValueError as error:
        wanted = "true, false, or networks such as 10.0.0.0/8,192.168.1.0/24"
        raise StartupRefused(f"RHEOSTAT_NOTIFY_ALLOW_PRIVATE: give {wanted}") from error
    try:
        if settings.smtp_url is not None:
            smtp_server(settings.smtp_url)
    except ValueError as error:
        wanted = "a URL, such as smtps://user:password@smtp.example.com:465"
        raise StartupRefused(f"RHEOSTAT_SMTP_URL: give {wanted} ({error})") from error
    try:
        if settings.smtp_from is not None:
            mailbox(settings.smtp_from)
    except ValueError as error:
        wanted = "an address, such as rheostat@example.com or Rheostat <rheostat@example.com>"
        raise StartupRefused(f"RHEOSTAT_SMTP_FROM: give {wanted}") from error
    if settings.smtp_url is not None and settings.smtp_from is None:
        raise StartupRefused("RHEOSTAT_SMTP_URL: give RHEOSTAT_SMTP_FROM as well, the sender of e-mails")


def _check_together(settings: Settings) -> None:
    """Raise ``StartupRefused`` where settings contradict each other."""
    token = settings.prometheus_token or settings.prometheus_token_file
    for name, given, clashes in (
        ("TOKEN_FILE", settings.prometheus_token_file, settings.prometheus_token),
        ("PASSWORD_FILE", settings.prometheus_password_file, settings.prometheus_password),
        ("USERNAME", settings.prometheus_username, token),
    ):
        if given and clashes:
            other = "a token" if name == "USERNAME" else f"RHEOSTAT_PROMETHEUS_{name.removesuffix('_FILE')}"
            raise StartupRefused(f"RHEOSTAT_PROMETHEUS_{name}: give either this or {other}")
    for name, given, needs, what in (
        ("PASSWORD", settings.prometheus_password, settings.prometheus_username, "USERNAME"),
        ("PASSWORD_FILE", settings.prometheus_password_file, settings.prometheus_username, "USERNAME"),
        ("KEY_FILE", settings.prometheus_key_file, settings.prometheus_cert_file, "CERT_FILE"),
    ):
        if given and not needs:
            raise StartupRefused(f"RHEOSTAT_PROMETHEUS_{name}: give RHEOSTAT_PROMETHEUS_{what} as well")
