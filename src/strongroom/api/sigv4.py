"""Verifies AWS Signature Version 4, in full, on every call.

Source: AWS General Reference, "Signature Version 4 signing process"; the messages of refusals are those of AWS's
services. Here the signature is in the Authorization header; ``presigned`` reads those in the query of a URL.

Within a second, the requests that one client signs for one action differ in little but the body. So the canonical form
without the body is cached when a signature was valid, and the next such request needs only two hashes and one HMAC. All
other requests are verified in full; only a full verification refuses a request.
"""

import hmac
import re
import time
from calendar import timegm
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Protocol
from urllib.parse import quote, unquote

import msgspec
from typing_extensions import override

from strongroom.api.signature_refusals import MISMATCH, TIMESTAMP, bad_date, expired, incomplete, not_yet_current
from strongroom.bounded_cache import put
from strongroom.crypto.keyed_hash import HmacKey
from strongroom.errors import (
    ExpiredSessionException,
    InvalidSignatureException,
    UnrecognizedClientException,
)
from strongroom.http.message import HttpRequest
from strongroom.keys.arns import partition
from strongroom.service.credentials import UNRECOGNIZED
from strongroom.snapshot.principals import Credential

_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"
_GLOBAL_REGIONS = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}
"""Partition → where AWS keeps the global endpoints of IAM and STS; some clients sign for ``PARTITION-global``."""
_UNSIGNED_PART = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^/,\s]+)/([^/,\s]*)/([^/,\s]*)/([^/,\s]*)/([^/,\s]*) *, *"
    r"SignedHeaders=([a-z0-9;_.-]+) *, *Signature="
)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_LENGTH = _DIGEST_LENGTH = 64
_SPACES = re.compile(r"[ \t]+")
_MUST_BE_SIGNED = (
    *("host", "x-amz-date", "x-amz-target", "x-amz-content-sha256"),
    *("x-amz-source-arn", "x-amz-source-account", "x-strongroom-on-behalf-of"),
)
"""Headers that must be signed where present.

The session token need not be: some clients add it after they have signed (AWS Signature Version 4 test suite,
``post-sts-header-after``). It belongs to one access key id and one secret, so no other token fits a signature.
"""
_SERVICE = re.compile(r"AWS4-HMAC-SHA256 +Credential=[^/,\s]+/[^/,\s]*/[^/,\s]*/([^/,\s]*)/")
_MAX_CACHED_KEYS = 10_000
_MAX_CACHED = 1024
_MAX_CACHED_LENGTH = 1024
_MAX_CANONICAL_LENGTH = 4096
_MAX_PREPARED = 4
_VARYING_HEADERS = frozenset({"amz-sdk-invocation-id", "x-amz-content-sha256"})
"""Headers that differ in every request. If a client signs them, its requests are not cached."""


class Scope(msgspec.Struct, frozen=True):
    """The credential scope of a signature: a day, a Region, a service."""

    date: str
    region: str
    service: str
    terminator: str

    @override
    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


class Authorization(msgspec.Struct, frozen=True):
    """A parsed Authorization header, without the signature.

    ``unsigned`` are headers that must be signed and are not.
    """

    access_key_id: str
    scope: Scope
    signed_headers: str
    unsigned: tuple[str, ...]


class Claim(msgspec.Struct, frozen=True):
    """Who says to have signed a request and when, with the session token and the signature that is to show it."""

    authorization: Authorization
    signature: str
    timestamp: str
    token: str | None


class FindCredential(Protocol):
    """Finds an access key by its id, and by its session token if it came with one."""

    def __call__(self, access_key_id: str, token: str | None, /, *, may_wait: bool) -> Credential | None:
        """Return the access key or None; raises MustWait if it is not cached and the caller may not wait."""
        ...


class Verified(msgspec.Struct, frozen=True):
    """The caller that signed, and the Region that it signed for."""

    credential: Credential
    region: str


class _Prepared(msgspec.Struct, frozen=True):
    """The canonical request up to the hash of the body, and the string to sign up to the hash of that."""

    canonical: bytes
    to_sign: bytes
    signed_at: float
    region: str


class _CachedClient(msgspec.Struct, frozen=True):
    """The cached signing parameters of a client: its Authorization header without the signature.

    ``values`` reads the signed headers, in their order; ``prepared`` maps these values to the prepared request.
    """

    authorization: Authorization
    values: Callable[[dict[str, str]], object]
    prepared: dict[object, _Prepared] = {}


class Verifier:
    """Verifies signatures in some Regions. Safe to use from several threads.

    ``credential`` finds access keys. ``skew`` is the maximum clock difference in seconds.
    """

    def __init__(self, credential: FindCredential, regions: frozenset[str], skew: float) -> None:
        self._credential = credential
        self._regions = regions
        partitions = {partition(region) for region in regions}
        self._global_regions = {
            name: _GLOBAL_REGIONS[each] for each in partitions for name in (_GLOBAL_REGIONS[each], f"{each}-global")
        }
        self.skew = skew
        self._signing_keys: dict[tuple[str, Scope], HmacKey] = {}
        self._clients: dict[str, _CachedClient] = {}

    def verify(self, request: HttpRequest, service: str, now: float, *, may_wait: bool = True) -> Verified:
        """Return the caller that signed the request for a service. ``now`` is in epoch seconds.

        Raises MissingAuthenticationTokenException, IncompleteSignatureException, UnrecognizedClientException,
        InvalidSignatureException or ExpiredSessionException, with AWS's wording; and MustWait if the access key has to
        be read from the store and ``may_wait`` is False.
        """
        cached = self._verify_cached(request, service, now, may_wait=may_wait)
        return cached or self._verify_in_full(request, service, now, may_wait=may_wait)

    def _verify_cached(self, request: HttpRequest, service: str, now: float, *, may_wait: bool) -> Verified | None:
        """Verify a request that differs from a cached one in its body only; return None if it cannot be verified so."""
        headers = request.headers
        header = headers.get("authorization", "")
        client = self._clients.get(header[:-_SIGNATURE_LENGTH])
        if client is None or not _is_plain(request):
            return None
        try:
            prepared = client.prepared.get(client.values(headers))
        except KeyError:
            return None
        authorization = client.authorization
        if prepared is None or not headers.keys().isdisjoint(authorization.unsigned):
            return None
        scope = authorization.scope
        token = headers.get("x-amz-security-token")
        credential = self._credential(authorization.access_key_id, token, may_wait=may_wait)
        if credential is None or scope.service != service or abs(now - prepared.signed_at) > self.skew:
            return None
        if credential.expires_at is not None and credential.expires_at <= now:
            return None
        canonical = prepared.canonical + sha256(request.body).hexdigest().encode()
        to_sign = prepared.to_sign + sha256(canonical).hexdigest().encode()
        expected = self._signing_key(credential, scope).mac(to_sign).hex().encode()
        right = hmac.compare_digest(expected, header[-_SIGNATURE_LENGTH:].encode())
        return Verified(credential, prepared.region) if right else None

    def _cache(self, request: HttpRequest, claim: Claim, canonical: bytes, region: str) -> None:
        """Cache the canonical form of a request whose signature was valid, if the next request may have the same."""
        unsigned_part, authorization = request.headers["authorization"][:-_SIGNATURE_LENGTH], claim.authorization
        names = authorization.signed_headers.split(";")
        complete = all(name in request.headers for name in names)
        if not (complete and _is_plain(request)) or not _VARYING_HEADERS.isdisjoint(names):
            return
        if len(unsigned_part) > _MAX_CACHED_LENGTH or len(canonical) > _MAX_CANONICAL_LENGTH:
            return
        client = self._clients.get(unsigned_part)
        if client is None:
            client = put(self._clients, unsigned_part, _CachedClient(authorization, itemgetter(*names)), _MAX_CACHED)
        to_sign = string_to_sign(authorization, claim.timestamp, canonical)
        signed_at = _epoch(claim.timestamp)
        prepared = _Prepared(canonical[:-_DIGEST_LENGTH], to_sign[:-_DIGEST_LENGTH], signed_at, region)
        put(client.prepared, client.values(request.headers), prepared, _MAX_PREPARED)

    def _verify_in_full(self, request: HttpRequest, service: str, now: float, *, may_wait: bool) -> Verified:
        authorization, signature = parse_authorization(request.headers)
        headers = request.headers
        claim = Claim(authorization, signature, headers["x-amz-date"], headers.get("x-amz-security-token"))
        verified, canonical = self.verify_claim(claim, request, service, now, max_age=self.skew, may_wait=may_wait)
        self._cache(request, claim, canonical, verified.region)
        return verified

    def verify_claim(
        self, claim: Claim, request: HttpRequest, service: str, now: float, *, max_age: float, may_wait: bool
    ) -> tuple[Verified, bytes]:
        """Return the caller, and the request's canonical form, if the claim is true; raises what ``verify`` raises.

        ``max_age`` is for how many seconds a signature is good.
        """
        authorization, timestamp = claim.authorization, claim.timestamp
        credential = self._credential(authorization.access_key_id, claim.token, may_wait=may_wait)
        if credential is None:
            raise UnrecognizedClientException(UNRECOGNIZED)
        scope = authorization.scope
        self._require_scope(scope, service, timestamp)
        self._require_fresh(timestamp, now, max_age)
        canonical = canonical_request(request, authorization.signed_headers)
        expected = self._signing_key(credential, scope).mac(string_to_sign(authorization, timestamp, canonical))
        if not hmac.compare_digest(expected.hex(), claim.signature):
            raise InvalidSignatureException(MISMATCH)
        if credential.expires_at is not None and credential.expires_at <= now:
            raise ExpiredSessionException("The security token included in the request is expired")
        return Verified(credential, self._global_regions.get(scope.region, scope.region)), canonical

    def _require_scope(self, scope: Scope, service: str, timestamp: str) -> None:
        right = scope.service == service and scope.terminator == _TERMINATOR and scope.date == timestamp[:8]
        if right and scope.region in self._regions:
            return
        refusals = []
        # IAM and STS are global: clients sign for their own Region, or for the one where AWS keeps them.
        if scope.region not in self._regions and (service == "kms" or scope.region not in self._global_regions):
            refusals.append(
                f"Credential should be scoped to a valid region, not '{scope.region}'. "
                f"This server does not serve that Region; it serves {', '.join(sorted(self._regions))}. "
            )
        if scope.service != service:
            refusals.append(f"Credential should be scoped to correct service: '{service}'. ")
        if scope.terminator != _TERMINATOR:
            refusals.append(
                f"Credential should be scoped with a valid terminator: '{_TERMINATOR}', not '{scope.terminator}'. "
            )
        if scope.date != timestamp[:8]:
            refusals.append(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{scope.date}' != '{timestamp[:8]}', from '{timestamp}'. "
            )
        if refusals:
            raise InvalidSignatureException("".join(refusals))

    def _require_fresh(self, timestamp: str, now: float, max_age: float) -> None:
        signed_at = _epoch(timestamp)
        if signed_at < now - max_age:
            raise expired(timestamp, now, max_age)
        if signed_at > now + self.skew:
            raise not_yet_current(timestamp, now, self.skew)

    def _signing_key(self, credential: Credential, scope: Scope) -> HmacKey:
        name = (credential.secret, scope)
        key = self._signing_keys.get(name)
        if key is None:
            key = put(self._signing_keys, name, HmacKey(signing_key(credential.secret, scope)), _MAX_CACHED_KEYS)
        return key


def signed_service(headers: dict[str, str]) -> str | None:
    """Return the service a request says it was signed for; None if it has no signature of this kind."""
    match = _SERVICE.match(headers.get("authorization", ""))
    return None if match is None else match[1]


def parse_authorization(headers: dict[str, str]) -> tuple[Authorization, str]:
    """Parse the Authorization header; return it without the signature, and the signature, 64 hex digits.

    Checks that all headers are signed that have to be. Raises MissingAuthenticationTokenException,
    IncompleteSignatureException or InvalidSignatureException.
    """
    header = headers.get("authorization", "")
    authorization, signature = parse_unsigned_part(header[:-_SIGNATURE_LENGTH]), header[-_SIGNATURE_LENGTH:]
    well_formed = _SIGNATURE.fullmatch(signature) and TIMESTAMP.fullmatch(headers.get("x-amz-date", ""))
    if authorization is None or not well_formed:
        raise incomplete(header, headers)
    require_signed(authorization, headers)
    return authorization, signature


def require_signed(authorization: Authorization, headers: dict[str, str]) -> None:
    """Raise InvalidSignatureException if a header is not signed that has to be."""
    for name in authorization.unsigned:
        if name in headers or name == "host":
            shown = "'Host' or ':authority'" if name == "host" else f"'{name}'"
            raise InvalidSignatureException(f"{shown} must be a 'SignedHeader' in the AWS Authorization.")


def parse_unsigned_part(unsigned_part: str) -> Authorization | None:
    """Parse what comes before the signature, which stays the same for a day; return None if it is malformed."""
    parse = _parse if len(unsigned_part) <= _MAX_CACHED_LENGTH else _parse.__wrapped__
    return parse(unsigned_part)


@lru_cache(maxsize=_MAX_CACHED)
def _parse(unsigned_part: str) -> Authorization | None:
    match = _UNSIGNED_PART.fullmatch(unsigned_part)
    if match is None:
        return None
    access_key_id, date, region, service, terminator, signed_headers = match.groups()
    signed = signed_headers.split(";")
    if len(set(signed)) < len(signed):
        # A long header that is named many times would make the canonical form too large.
        return None
    unsigned = tuple(name for name in _MUST_BE_SIGNED if name not in signed)
    return Authorization(access_key_id, Scope(date, region, service, terminator), signed_headers, unsigned)


def string_to_sign(authorization: Authorization, timestamp: str, canonical: bytes) -> bytes:
    """Return the string that a request's signature covers, through the hash of its canonical form."""
    digest = sha256(canonical).hexdigest()
    return f"{_ALGORITHM}\n{timestamp}\n{authorization.scope}\n{digest}".encode()


def canonical_request(request: HttpRequest, signed_headers: str) -> bytes:
    """Return the canonical form of a request. A signed header that is not there counts as empty, so nothing matches."""
    lines = [request.method, _canonical_path(request.path), _canonical_query(request.query)]
    for name in signed_headers.split(";"):
        value = request.headers.get(name, "")
        # Runs of spaces and tabs count as one space, also a single tab. Few headers have any.
        folded = _SPACES.sub(" ", value) if "  " in value or "\t" in value else value
        lines.append(f"{name}:{folded}")
    lines += ("", signed_headers, sha256(request.body).hexdigest())
    # Headers were decoded as Latin-1, so every byte is encoded as it was sent.
    return "\n".join(lines).encode("latin-1")


def signing_key(secret: str, scope: Scope) -> bytes:
    """Derive the key that signs everything of one scope."""
    key = b"AWS4" + secret.encode()
    for part in (scope.date, scope.region, scope.service, scope.terminator):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _is_plain(request: HttpRequest) -> bool:
    """Tell whether the request line is ``POST /``, as in every call."""
    return request.method == "POST" and request.path == "/" and not request.query


def _canonical_path(path: str) -> str:
    return path if path == "/" else quote(path, safe="/-_.~%")


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = [pair.partition("=") for pair in query.split("&")]
    encoded = sorted(
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")) for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


@lru_cache(maxsize=_MAX_CACHED)
def _epoch(timestamp: str) -> float:
    try:
        return float(timegm(time.strptime(timestamp, "%Y%m%dT%H%M%SZ")))
    except ValueError:
        raise bad_date(timestamp) from None
