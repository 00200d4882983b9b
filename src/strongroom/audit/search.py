"""Matches records of the audit log against a query. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from strongroom.audit.writer_id import WriterId, parse_writer

_DENIALS = frozenset(
    {
        "AccessDenied",
        "AuthenticationFailedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_KEY_PARAMETERS = ("keyId", "aliasName", "targetKeyId", "sourceKeyId", "destinationKeyId", "replicaKeyId")


class SearchedResource(msgspec.Struct):
    """The fields of a resource that a search reads."""

    arn: str = msgspec.field(name="ARN", default="")


class SearchedChain(msgspec.Struct):
    """The fields of a line's position in its chain that a search reads."""

    writer: str = ""


class SearchedRecord(msgspec.Struct, rename="camel"):
    """The fields of a record that a search reads. Headers and checkpoints have no event."""

    event_time: str = ""
    event_name: str = ""
    event_id: str = msgspec.field(name="eventID", default="")
    user_identity: Mapping[str, object] = {}
    error_code: str = ""
    request_parameters: Mapping[str, object] | None = None
    resources: Sequence[SearchedResource] = ()
    chain: SearchedChain | None = None
    aws_region: str = ""
    source_ip: str = msgspec.field(name="sourceIPAddress", default="")

    @property
    def writer(self) -> WriterId | None:
        """The worker that recorded it, and its node; None if the line does not name one."""
        return None if self.chain is None else parse_writer(self.chain.writer)

    @property
    def principal(self) -> str:
        """The caller as one word: its ARN, or another name that the record has."""
        identity = self.user_identity
        names = ("arn", "invokedBy", "userName", "accountId", "type")
        return next((str(identity[name]) for name in names if identity.get(name)), "")

    @property
    def key(self) -> str:
        """The first key, alias or role that the call touched, or the key that it named."""
        if self.resources:
            return self.resources[0].arn
        return str((self.request_parameters or {}).get("keyId", ""))


_decoder = msgspec.json.Decoder(SearchedRecord)


def read_record(line: bytes) -> SearchedRecord | None:
    """Return the fields of a line that a search reads; None if the line cannot be decoded."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class Query(msgspec.Struct, frozen=True):
    """The conditions of a search; an empty one matches every record.

    Times are written as in records; the end time is excluded. ``keys`` are ids, ARNs or alias names, of which one must
    match.
    """

    keys: frozenset[str] = frozenset()
    principal: str = ""
    event: str = ""
    event_id: str = ""
    since: str = ""
    until: str = ""
    denied: bool = False

    def matches(self, record: SearchedRecord) -> bool:
        """Tell whether a record meets all conditions."""
        if not record.event_name or record.event_time < self.since or (self.until and record.event_time >= self.until):
            return False
        if self.event and record.event_name.lower() != self.event.lower():
            return False
        if self.event_id and record.event_id != self.event_id:
            return False
        if self.denied and record.error_code not in _DENIALS:
            return False
        return (not self.principal or self._is_by(record)) and (not self.keys or self._is_about(record))

    def _is_by(self, record: SearchedRecord) -> bool:
        identity = record.user_identity
        names = [identity.get(name) for name in ("arn", "userName", "invokedBy", "principalId", "accessKeyId")]
        context = identity.get("sessionContext")
        issuer = context.get("sessionIssuer") if isinstance(context, dict) else None
        if isinstance(issuer, dict):
            names += [issuer.get("arn"), issuer.get("userName")]
        return self.principal in names

    def _is_about(self, record: SearchedRecord) -> bool:
        parameters = record.request_parameters or {}
        names = [each.arn for each in record.resources]
        names += [name for each in _KEY_PARAMETERS if isinstance(name := parameters.get(each), str)]
        return any(name in self.keys or name.partition(":key/")[2] in self.keys for name in names)
