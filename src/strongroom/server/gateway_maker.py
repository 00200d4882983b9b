"""Makes the gateway of a server from its settings."""

from typing import Protocol

from strongroom.api.cross_origin import CrossOrigin
from strongroom.api.gateway import Gateway
from strongroom.api.sigv4 import Verifier
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.service.service import Service
from strongroom.settings import Settings


class GatewayMaker(Protocol):
    """Makes what admits the requests of a server."""

    def __call__(self, settings: Settings, service: Service, clock: Clock, entropy: Entropy, /) -> Gateway:
        """Return a gateway to a service."""
        ...


def make_gateway(settings: Settings, service: Service, clock: Clock, entropy: Entropy, /) -> Gateway:
    """Return the gateway to a service, as the settings ask for it."""
    return Gateway(
        service.unauthenticated,
        Verifier(service.pipeline.credential, frozenset(settings.regions), settings.clock_skew),
        clock,
        entropy,
        TrustedProxies(settings.trusted_proxies) if settings.trusted_proxies else None,
        settings.regions[0],
        cross_origin=CrossOrigin(settings.cors_origins) if settings.cors_origins else None,
    )
