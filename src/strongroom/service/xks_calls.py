"""Performs the calls of AWS KMS to an XKS proxy, once their signature is verified.

The order of the checks is that of the specification's error table as the official test client expects it: the request
metadata, the key, its state, its usage, the parameters, authorization. Source: External Key Store Proxy API
Specification 1.0.3.
"""

from collections.abc import Callable

from strongroom import __version__
from strongroom.errors import (
    DependencyTimeoutException,
    DisabledException,
    InvalidCiphertextException,
    KeyUnavailableException,
    KmsError,
    KMSInvalidStateException,
    UnsupportedOperationException,
)
from strongroom.keys import split_ciphertext
from strongroom.keys.arns import KeyLocator
from strongroom.keys.split_ciphertext import SplitCiphertext
from strongroom.keys.states import ALLOWED, StateRule
from strongroom.service.xks_authorization import require_allowed
from strongroom.service.xks_facts import XksFacts
from strongroom.service.xks_health import XksHealth
from strongroom.snapshot.active_key import ActiveKey, LoadedMaterial
from strongroom.snapshot.snapshot import Snapshot
from strongroom.xks_proxy import replies, requests
from strongroom.xks_proxy.errors import ErrorName, XksError
from strongroom.xks_proxy.paths import Call
from strongroom.xks_proxy.registry import Usage, XksKey
from strongroom.xks_proxy.requests import EncryptParameters

_VENDOR = "Strongroom"
_MODEL = f"Strongroom {__version__}"


class XksCalls:
    """The calls. Safe to use from several threads, which may wait. ``node`` names what holds the keys."""

    def __init__(self, snapshot: Snapshot, health: XksHealth, node: str) -> None:
        self._snapshot = snapshot
        self._health = health
        self._node = node
        self._calls: dict[Call, Callable[[XksFacts, XksKey, ActiveKey, bytes], bytes]] = {
            Call.METADATA: self._metadata,
            Call.ENCRYPT: self._encrypt,
            Call.DECRYPT: self._decrypt,
        }

    def perform(self, facts: XksFacts, body: bytes) -> bytes:
        """Perform a call and return the body of its reply; what is found out on the way is noted in ``facts``.

        Raises XksError, or KmsError, which ``xks_error`` translates.
        """
        call = facts.route.call
        facts.metadata = requests.read_metadata(body, call)
        facts.request_id = facts.metadata.kms_request_id
        if call is Call.HEALTH:
            return self._report_health()
        given, active = self._find(facts)
        facts.key = active.key
        return self._calls[call](facts, given, active, body)

    def _report_health(self) -> bytes:
        manager = replies.Manager(self._node, _MODEL, self._health.status())
        return replies.health(replies.Health(1, _VENDOR, _MODEL, _VENDOR, [manager]))

    def _find(self, facts: XksFacts) -> tuple[XksKey, ActiveKey]:
        """Return the key of a call. One of another proxy is not found either, nor is one that was deleted."""
        route, proxy = facts.route, facts.proxy
        given = self._snapshot.xks_proxies.key(route.prefix, route.external_id, may_wait=True)
        if given is not None and proxy is not None:
            locator = KeyLocator(proxy.account, proxy.region, given.key_id)
            active = self._snapshot.key(locator, may_wait=True)
            if active is not None:
                return given, active
        raise XksError(ErrorName.KEY_NOT_FOUND, f"There is no key {route.external_id}.")

    def _metadata(self, facts: XksFacts, given: XksKey, active: ActiveKey, _body: bytes) -> bytes:
        require_allowed(facts, active)
        return replies.key_metadata(given.usages, enabled=_is_usable(active, facts.now))

    def _encrypt(self, facts: XksFacts, given: XksKey, active: ActiveKey, body: bytes) -> bytes:
        _require_usable(active, facts.now)
        _require_usage(given, Usage.ENCRYPT)
        parameters = requests.read_encrypt(body)
        with_integrity = parameters.ciphertext_data_integrity_value_algorithm is not None
        if with_integrity:
            # The value promises that the ciphertext can be decrypted, so it is.
            _require_usage(given, Usage.DECRYPT)
        _require_length(parameters.additional_authenticated_data)
        require_allowed(facts, active)
        material = active.current()
        facts.material_id = material.material_id
        return _encrypted(material, active, parameters, with_integrity=with_integrity)

    def _decrypt(self, facts: XksFacts, given: XksKey, active: ActiveKey, body: bytes) -> bytes:
        _require_usable(active, facts.now)
        _require_usage(given, Usage.DECRYPT)
        parameters = requests.read_decrypt(body)
        _require_length(parameters.additional_authenticated_data)
        require_allowed(facts, active)
        parts = SplitCiphertext(
            parameters.ciphertext_metadata,
            parameters.initialization_vector,
            parameters.ciphertext,
            parameters.authentication_tag,
        )
        material_id, plaintext = _decrypted(active, parts, parameters.additional_authenticated_data)
        facts.material_id = material_id
        return replies.decrypted(plaintext)


def xks_error(error: KmsError) -> XksError:
    """Return what AWS KMS is told of an error; its message has nothing that the caller may not know."""
    match error:
        case InvalidCiphertextException():
            return XksError(
                ErrorName.INVALID_CIPHERTEXT,
                "The ciphertext, its metadata, the additional authenticated data or the tag is invalid.",
            )
        case DisabledException() | KMSInvalidStateException():
            return XksError(ErrorName.INVALID_STATE, "The key cannot be used in its present state.")
        case KeyUnavailableException() | DependencyTimeoutException():
            return XksError(ErrorName.DEPENDENCY_TIMEOUT, "What holds the key does not answer.")
        case UnsupportedOperationException():
            return XksError(ErrorName.UNSUPPORTED_OPERATION, "The key cannot be used here.")
        case _:
            return XksError(ErrorName.INTERNAL, "The call failed.")


def _encrypted(
    material: LoadedMaterial, active: ActiveKey, parameters: EncryptParameters, *, with_integrity: bool
) -> bytes:
    sent, plaintext = parameters.additional_authenticated_data, parameters.plaintext
    associated_data = split_ciphertext.associated_data(material.material_id, active.key.key_id, sent)
    body = material.backing_key.encrypt(plaintext, associated_data)
    try:
        parts = split_ciphertext.split(body, material.material_id)
    except ValueError:
        raise XksError(
            ErrorName.UNSUPPORTED_OPERATION, "The key is held by what makes ciphertexts of another form."
        ) from None
    reply = replies.Ciphertext(parts.ciphertext, parts.iv, parts.tag, parts.metadata)
    if not with_integrity:
        return replies.encrypted(reply, None)
    # Of what is sent, and before it is decrypted: what is damaged afterwards does not match (the specification's
    # Appendix C).
    integrity = replies.integrity_value(sent, reply)
    if material.backing_key.decrypt(split_ciphertext.join(parts), associated_data) != plaintext:
        raise XksError(ErrorName.INTERNAL, "The ciphertext did not decrypt to the plaintext.")
    return replies.encrypted(reply, integrity)


def _decrypted(active: ActiveKey, parts: SplitCiphertext, sent: bytes) -> tuple[str, bytes]:
    """Return the key material that opens a ciphertext, and the plaintext; raises InvalidCiphertextException."""
    body = split_ciphertext.join(parts)
    for named in active.key.materials:
        if not split_ciphertext.may_be_of(parts, named.material_id):
            continue
        material = active.material(named.material_id)
        if material is None:
            continue
        associated_data = split_ciphertext.associated_data(material.material_id, active.key.key_id, sent)
        try:
            return material.material_id, material.backing_key.decrypt(body, associated_data)
        except InvalidCiphertextException:
            continue
    raise InvalidCiphertextException


def _is_usable(active: ActiveKey, now: float) -> bool:
    return active.state_at(now) in ALLOWED[StateRule.USE]


def _require_usable(active: ActiveKey, now: float) -> None:
    if not _is_usable(active, now):
        raise XksError(ErrorName.INVALID_STATE, f"The key is {active.state_at(now)}.")


def _require_usage(given: XksKey, usage: Usage) -> None:
    if usage not in given.usages:
        raise XksError(ErrorName.INVALID_KEY_USAGE, f"The key {given.external_id} is not for {usage}.")


def _require_length(sent: bytes) -> None:
    if len(sent) > split_ciphertext.MOST_ASSOCIATED_DATA:
        raise XksError(ErrorName.UNSUPPORTED_OPERATION, "additionalAuthenticatedData is too long")
