"""Which sources of evidence, and which propagation, the settings ask for."""

from collections.abc import Mapping

from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.checks import PrometheusChecks
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient
from rheostat_server.adapters.evidence.prometheus.source import PrometheusEvidence
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.evidence.reported_checks import ReportedChecks
from rheostat_server.adapters.propagation.postgres import PostgresPropagation
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.label_map_file import read_label_map
from rheostat_server.ports.evidence import CheckSource, EvidenceSource
from rheostat_server.ports.propagation import Propagation
from rheostat_server.ports.storage import Storage
from rheostat_server.ramps.label_map import PRESETS, MetricMap
from rheostat_server.ramps.model import Family
from rheostat_server.ramps.starting import Sources
from rheostat_server.settings import Settings

REPORT_SECONDS = 1.0
"""How often SDKs report a ramping flag: what the reported evidence moves by."""


def propagation_of(settings: Settings, database: Database) -> Propagation:
    if settings.redis_url is None:
        return PostgresPropagation(database.connect)
    # Its library takes longest of all to load, and few need it.
    from rheostat_server.adapters.propagation.redis import RedisPropagation

    return RedisPropagation(settings.redis_url)


def prometheus_client(settings: Settings) -> PrometheusClient | None:
    """Return the one client of the Prometheus that the settings name."""
    if settings.prometheus_url is None:
        return None
    return PrometheusClient(
        Access(
            url=settings.prometheus_url,
            username=settings.prometheus_username,
            password=settings.prometheus_password,
            password_file=settings.prometheus_password_file,
            token=settings.prometheus_token,
            token_file=settings.prometheus_token_file,
            ca_file=settings.prometheus_ca_file,
            cert_file=settings.prometheus_cert_file,
            key_file=settings.prometheus_key_file,
            tenant=settings.prometheus_tenant,
            timeout_s=settings.prometheus_timeout,
        )
    )


def label_map(settings: Settings) -> Mapping[str, MetricMap]:
    """Return the names of other people's metrics: the presets, and those of the settings' file.

    Raises:
        StartupRefused: the file cannot be read or has faults.
    """
    return PRESETS if settings.label_map is None else read_label_map(settings.label_map)


def evidence_sources(
    storage: Storage, prometheus: PrometheusClient | None, replica_labels: frozenset[str]
) -> dict[Family, EvidenceSource]:
    """Return what ramps read, by metric family. ``replica_labels`` say who scraped a series."""
    sources: dict[Family, EvidenceSource] = {Family.REPORTED: ReportedEvidence(storage)}
    if prometheus is not None:
        evidence = PrometheusEvidence(prometheus, replica_labels=replica_labels)
        sources |= dict.fromkeys((Family.REPORTED_METRICS, Family.APPLICATION, Family.QUERIES), evidence)
    return sources


def check_sources(storage: Storage, prometheus: PrometheusClient | None) -> dict[Family, CheckSource]:
    """Return where ramps that count failed checks look, by metric family."""
    sources: dict[Family, CheckSource] = {Family.REPORTED: ReportedChecks(storage)}
    if prometheus is not None:
        sources[Family.QUERIES] = PrometheusChecks(prometheus)
    return sources


def best_source(settings: Settings) -> Sources:
    """Return what a new ramp reads where its document does not say: what SDKs report, which no scrape delays."""
    scrape_s = None if settings.prometheus_url is None else settings.prometheus_interval
    return Sources(family=Family.REPORTED, interval_s=REPORT_SECONDS, scrape_s=scrape_s)
