"""Admits calls of AWS KMS to an XKS proxy: the prefix, the client's certificate and the signature must be right.

Source: External Key Store Proxy API Specification 1.0.3, "Authentication".
"""

from functools import partial

from strongroom.api.sigv4 import Verifier, parse_authorization
from strongroom.bounded_cache import put
from strongroom.errors import KmsError, QuarantinedRecordException
from strongroom.http.message import HttpRequest
from strongroom.service.xks_authorization import CALLER
from strongroom.service.xks_facts import XksFacts
from strongroom.snapshot.principals import Credential
from strongroom.snapshot.snapshot import Snapshot
from strongroom.xks_proxy.errors import ErrorName, XksError

_SERVICE = "kms-xks-proxy"
_SKEW = 300.0
"""Seconds that a signature may be old, or ahead."""
_MOST_VERIFIERS = 1000


class XksAdmission:
    """Verifies who calls. Safe to use from several threads, which may wait.

    ``mutual_tls`` tells that every client has shown a certificate. ``client_names`` are the names that it may have;
    without any, it is that of the KMS of the Region for which the proxy was made.
    """

    def __init__(self, snapshot: Snapshot, client_names: tuple[str, ...], *, mutual_tls: bool) -> None:
        self._snapshot = snapshot
        self._client_names = client_names
        self._mutual_tls = mutual_tls
        self._verifiers: dict[tuple[str, str], Verifier] = {}

    def admit(self, request: HttpRequest, client_name: str | None, facts: XksFacts) -> None:
        """Note in ``facts`` the proxy that is called, and the credential that has signed the request.

        ``client_name`` is the common name in the client's certificate. Raises XksError.
        """
        self._snapshot.refresh()
        prefix = facts.route.prefix
        active = self._snapshot.xks_proxies.proxy(prefix, may_wait=True)
        if active is None:
            raise XksError(ErrorName.INVALID_URI_PATH, "There is no external key store at this path.")
        facts.proxy = proxy = active.proxy
        if self._mutual_tls and client_name not in (self._client_names or (client_name_of(proxy.signing_region),)):
            raise XksError(ErrorName.AUTHENTICATION_FAILED, "The client's certificate is not that of AWS KMS.")
        try:
            verified = self._verifier(prefix, proxy.signing_region).verify(request, _SERVICE, facts.now)
        except QuarantinedRecordException:
            raise
        except KmsError as error:
            raise XksError(ErrorName.AUTHENTICATION_FAILED, error.message or "The signature is not valid.") from None
        # The names of global endpoints are accepted in place of a Region, but KMS has none.
        if parse_authorization(request.headers)[0].scope.region != proxy.signing_region:
            raise XksError(ErrorName.AUTHENTICATION_FAILED, f"Credential should be scoped to {proxy.signing_region}.")
        facts.access_key_id = verified.credential.access_key_id

    def _verifier(self, prefix: str, region: str) -> Verifier:
        """Return what verifies the signatures of a proxy, with its credentials alone."""
        found = self._verifiers.get((prefix, region))
        if found is None:
            verifier = Verifier(partial(self._credential, prefix), frozenset({region}), _SKEW)
            found = put(self._verifiers, (prefix, region), verifier, _MOST_VERIFIERS)
        return found

    def _credential(
        self, prefix: str, access_key_id: str, token: str | None, /, *, may_wait: bool
    ) -> Credential | None:
        active = self._snapshot.xks_proxies.proxy(prefix, may_wait=may_wait)
        secret = None if active is None or token is not None else active.secrets.get(access_key_id)
        return None if secret is None else Credential(access_key_id=access_key_id, secret=secret, principal=CALLER)


def client_name_of(region: str) -> str:
    """Return the common name in the client certificate of the KMS of an AWS Region."""
    return f"cks.kms.{region}.amazonaws.com"
