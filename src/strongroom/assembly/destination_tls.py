"""TLS contexts of connections to the destinations of audit logs and events, with the algorithms that may be used."""

import ssl

from strongroom.audit_destinations import AuditDestination
from strongroom.event_destinations import EventDestination
from strongroom.http.client_tls import client_context
from strongroom.settings import APPROVED_TLS_SUITES, TLS_SUITES, Settings


def destination_context(found: AuditDestination | EventDestination, settings: Settings, whose: str) -> ssl.SSLContext:
    """Return the context for a destination; raises SettingsError, which names it by ``whose``."""
    suites = APPROVED_TLS_SUITES if settings.fips else TLS_SUITES
    return client_context(
        found.ca, found.cert, found.key, suites=":".join(suites), approved_only=settings.fips, whose=whose
    )
