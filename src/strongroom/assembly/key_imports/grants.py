"""Makes the grants of an imported key."""

import hashlib
import re
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from strongroom.errors import KmsError, LimitExceededException, ValidationException
from strongroom.key_exports.accounts import name_for
from strongroom.key_exports.document import ExportedGrant
from strongroom.keys.grants import MAX_GRANTS, Grant
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.kms.grant_shapes import CreateGrantRequest, GrantConstraints
from strongroom.operations.kms.grants import party_of, require_terms, retiring_party
from strongroom.operations.validation import convert
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.scopes import KeyScope

_GRANT_ID = re.compile(r"[0-9a-f]{64}")
_SERVER_FAULT = 500
_CONSTRAINTS = frozenset(field.encode_name for field in msgspec.structs.fields(GrantConstraints))


class GrantResult(NamedTuple):
    """How many grants were made, what is missing of the others, and which are there now, as in a report."""

    made: int
    missing: list[str]
    there: list[str]


class GrantImport:
    """Makes grants on one key, with ``target`` in the place of the account ``source``.

    A grant that was ``there`` after an earlier import is not made again.
    """

    def __init__(
        self, store: Store, key: KmsKey, source: str, now: float, there: Collection[str] = frozenset()
    ) -> None:
        self._store = store
        self._key = key
        self._source = source
        self._now = now
        self._there = there

    def run(self, grants: tuple[ExportedGrant, ...], *, dry_run: bool) -> GrantResult:
        """Make the grants that are not there yet. Raises KmsError only where the database fails."""
        made, missing, there = 0, [], []
        for each in grants:
            try:
                made += self._one(each, dry_run=dry_run)
                there.append(_shown(each))
            except KmsError as error:
                if error.status >= _SERVER_FAULT:
                    raise
                missing.append(f"grant {each.grant_id}: {error.message or error.code}")
        return GrantResult(made, missing, there)

    def _one(self, exported: ExportedGrant, *, dry_run: bool) -> bool:
        request = self._request(exported)
        require_terms(request, self._key)
        grant_id = exported.grant_id
        if not _GRANT_ID.fullmatch(grant_id):
            # The same in every run, so that the grant is recognized.
            grant_id = hashlib.sha256(f"{self._key.key_id}/{grant_id}".encode()).hexdigest()
        if _shown(exported) in self._there:
            return False
        if dry_run:
            with self._store.read() as reader:
                return not self._known(reader, self._grant(reader, request, grant_id))

        def add(transaction: Transaction) -> bool:
            grant = self._grant(transaction, request, grant_id)
            if self._known(transaction, grant):
                return False
            if not transaction.add_grant(grant, MAX_GRANTS):
                raise LimitExceededException(f"the key has {MAX_GRANTS} grants already")
            return True

        return self._store.write(add, KeyScope(self._key.account, self._key.key_id))

    def _request(self, exported: ExportedGrant) -> CreateGrantRequest:
        """Return the CreateGrant that makes a grant; raises ValidationException."""
        constraints = exported.constraints
        if unknown := sorted(set(constraints or ()) - _CONSTRAINTS):
            raise ValidationException(f"it would apply without its {', '.join(unknown)}, which are unknown here")
        if constraints is not None and isinstance(source_arn := constraints.get("SourceArn"), str):
            constraints = {**constraints, "SourceArn": self._moved(source_arn) or ""}
        members: dict[str, object] = {
            "KeyId": self._key.arn,
            "Operations": list(exported.operations),
            "GranteePrincipal": self._moved(exported.grantee_principal),
            "RetiringPrincipal": self._moved(exported.retiring_principal),
            "GranteeServicePrincipal": exported.grantee_service_principal,
            "RetiringServicePrincipal": exported.retiring_service_principal,
            "Constraints": constraints,
            "Name": exported.name or None,
        }
        return convert(CreateGrantRequest, {name: value for name, value in members.items() if value is not None})

    def _moved(self, name: str | None) -> str | None:
        return None if name is None else name_for(name, self._source, self._key.account)

    def _grant(self, reader: Reader, request: CreateGrantRequest, grant_id: str) -> Grant:
        return Grant(
            grant_id=grant_id,
            account=self._key.account,
            region=self._key.region,
            key_id=self._key.key_id,
            grantee=party_of(reader, request.grantee_principal, request.grantee_service_principal, self._key.region),
            retiring=retiring_party(reader, request, self._key.region),
            operations=tuple(dict.fromkeys(request.operations)),
            constraints=(request.constraints or GrantConstraints()).terms(),
            name=request.name or "",
            issuing_account=self._key.account,
            created_at=self._now,
        )

    def _known(self, reader: Reader, grant: Grant) -> bool:
        if reader.grant(self._key.locator, grant.grant_id) is not None:
            return True
        named = reader.grants_named(self._key.locator, grant.name) if grant.name else []
        return any(each.same_terms(grant) for each in named)


def _shown(exported: ExportedGrant) -> str:
    """Return a grant as reports have it."""
    return f"grant {exported.grant_id}"
