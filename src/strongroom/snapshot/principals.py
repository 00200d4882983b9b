"""Who may call: credentials, and the policies of the users and roles behind them, as this process knows them.

Whatever changes among an account's identities makes this process forget all of that account: changes are rare, and a
user's rights follow from groups and policies in too many ways to track one by one.
"""

import base64
import binascii
from collections.abc import Mapping
from itertools import count
from typing import TypeVar

import msgspec
from typing_extensions import override

from strongroom.arns import known_arn, parse_arn
from strongroom.crypto.binding import SESSION_BINDING, access_key_binding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.errors import QuarantinedIdentityException
from strongroom.iam import (
    CompiledPolicy,
    Policies,
    PolicyKind,
    Principal,
    account_root,
    compile_policy,
    parse_policy,
)
from strongroom.iam.entities import Entity, Group, Holder, OpenIdConnectProvider, Role, User
from strongroom.iam.principals import assumed_role, iam_user, service
from strongroom.iam.session import Session
from strongroom.keys.arns import PARTITIONS
from strongroom.keys.names import folded
from strongroom.snapshot.identity_policies import IdentityPolicies
from strongroom.snapshot.read_through_cache import ReadThroughCache
from strongroom.store.protocol import Store
from strongroom.store.quarantine import Finding, Quarantine
from strongroom.store.records import AccessKeyRecord, Change
from strongroom.store.subjects.identities import IdentityReader

E = TypeVar("E", bound=Entity)

_MAX_CREDENTIALS = 10_000
_MAX_ACCOUNTS = 1000
_MAX_PROVIDERS = 1000
_session_decoder = msgspec.msgpack.Decoder(Session)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """An active access key: its secret, whom it speaks for, and the policies on that side of a decision.

    ``issued_at`` and ``expires_at`` (epoch seconds) are those of a session; None for long-term keys. ``serial`` tells
    it from every other, also from itself as it was before its caller or the policies changed.

    ``unique_id`` is that of the user or role that it speaks for; empty for an account's root and for services.
    ``used_as`` is what its uses are noted under: a long-term access key's id, the unique id for a session, so that all
    sessions of a role are one. Empty if they are not noted.
    """

    access_key_id: str
    secret: str
    principal: Principal
    policies: Policies = Policies()
    issued_at: float | None = None
    expires_at: float | None = None
    source_identity: str | None = None
    session: Session | None = None
    unique_id: str = ""
    used_as: str = ""
    serial: int = msgspec.field(default_factory=count(1).__next__)

    @override
    def __repr__(self) -> str:
        return f"Credential({self.access_key_id})"


class ActiveRole(msgspec.Struct, frozen=True):
    """A role, and its trust policy compiled."""

    role: Role
    trust: CompiledPolicy


class Principals:
    """The cache of credentials, roles and policies. Every lookup takes ``may_wait``: see ``Snapshot``."""

    def __init__(self, store: Store, secrets: ServiceSecrets, quarantine: Quarantine) -> None:
        self._store = store
        self._quarantine = quarantine
        self._secrets = secrets
        # Apart from each other: an ARN, which proves nothing, must never be found as a key or a token, which do.
        self._credentials: ReadThroughCache[str, Credential] = ReadThroughCache(_MAX_CREDENTIALS)
        self._sessions: ReadThroughCache[str, Credential] = ReadThroughCache(_MAX_CREDENTIALS)
        self._named: ReadThroughCache[str, Credential] = ReadThroughCache(_MAX_CREDENTIALS)
        self._roles: ReadThroughCache[tuple[str, str], ActiveRole] = ReadThroughCache(_MAX_CREDENTIALS)
        self._providers: ReadThroughCache[str, Mapping[str, OpenIdConnectProvider]] = ReadThroughCache(_MAX_ACCOUNTS)
        self._policies = IdentityPolicies(quarantine)

    @property
    def size(self) -> int:
        """How many credentials are cached."""
        return self._credentials.size + self._sessions.size + self._named.size

    @property
    def misses(self) -> int:
        """How often a credential had to be read."""
        return self._credentials.misses + self._sessions.misses + self._named.misses

    def credential(self, access_key_id: str, *, may_wait: bool) -> Credential | None:
        """Return an active long-term access key, or None; raises MustWait."""
        return self._credentials.get(access_key_id) or self._credentials.look_up(
            access_key_id, self._read_credential, may_wait=may_wait
        )

    def session(self, access_key_id: str, token: str, *, may_wait: bool) -> Credential | None:
        """Return the temporary access key that came with a session token; None if they are not one of ours.

        Raises MustWait, but not for a token that was not issued here.
        """
        credential = self._sessions.get(token)
        if credential is None:
            session = self._opened(token)
            if session is None:
                return None
            credential = self._sessions.look_up(token, lambda _: self._read_session(session), may_wait=may_wait)
        return credential if credential is not None and credential.access_key_id == access_key_id else None

    def named(self, arn: str, *, may_wait: bool) -> Credential | None:
        """Return an account root, a user or a role's session by its ARN, or a service by its name, with its policies.

        None if there is none. The result has no secret: it must not be used to verify anything. Raises MustWait.
        """
        return self._named.get(arn) or self._named.look_up(arn, self._read_named, may_wait=may_wait)

    def policies_of_group(self, arn: str) -> Policies | None:
        """Return the policies of a group by its ARN, read from the database; None if there is no such group."""
        named = known_arn(arn)
        with self._store.read() as reader:
            group = reader.entity(Group, named.account, named.resource_name)
            return self._policies.of_holder(reader, group) if group is not None and group.arn == arn else None

    def role(self, account: str, name: str, *, may_wait: bool) -> ActiveRole | None:
        """Return a role by its name, or None; raises MustWait."""
        key = (account, name.lower())
        return self._roles.get(key) or self._roles.look_up(key, self._read_role, may_wait=may_wait)

    def oidc_provider(self, account: str, issuer: str, *, may_wait: bool) -> OpenIdConnectProvider | None:
        """Return the provider of an account that has an issuer's URL, or None; raises MustWait.

        An account's providers are cached together, so that a token of another issuer needs no read of the database.
        """
        providers = self._providers.get(account)
        if providers is None:
            providers = self._providers.look_up(account, self._read_providers, may_wait=may_wait) or {}
        return providers.get(issuer)

    def forget_access_key(self, change: Change) -> None:
        """Forget one access key."""
        self._credentials.forget(change.name)

    def forget_account(self, change: Change) -> None:
        """Forget everything that follows from the identities of one account."""
        account = change.account
        self._roles.forget_those(lambda place, _: place[0] == account)
        self._providers.forget(account)
        for credentials in (self._credentials, self._sessions, self._named):
            credentials.forget_those(lambda _, each: each.principal.account == account)

    def forget_everything(self) -> None:
        """Forget everything."""
        self._roles.forget_all()
        self._providers.forget_all()
        for credentials in (self._credentials, self._sessions, self._named):
            credentials.forget_all()

    # --- reading

    def _read_credential(self, access_key_id: str) -> Credential | None:
        with self._store.read() as reader:
            record = reader.access_key(access_key_id)
            if record is None or not record.active:
                return None
            entity = None if record.principal.startswith("arn:") else reader.entity_by_id(record.principal)
            principal = _principal_of(record, entity)
            if principal is None:
                return None
            secret = self._secret_of(record)
            return Credential(
                access_key_id=access_key_id,
                secret=secret.decode(),
                principal=principal,
                policies=self._policies.of_holder(reader, entity) if isinstance(entity, User) else Policies(),
                unique_id=entity.unique_id if isinstance(entity, User) else "",
                used_as=access_key_id,
            )

    def _secret_of(self, record: AccessKeyRecord) -> bytes:
        """Return the secret of an access key; raises QuarantinedIdentityException if it cannot be unwrapped."""
        try:
            return self._secrets.unwrap(record.wrapped_secret, access_key_binding(record.access_key_id))
        except UnsealError as error:
            name = f"access key {record.access_key_id}"
            self._quarantine.add(Finding(name, f"its secret cannot be unwrapped ({error})"))
            raise QuarantinedIdentityException(
                f"The stored secret of {name} is damaged, so it cannot be used until it is restored."
            ) from None

    def _read_named(self, arn: str) -> Credential | None:
        with self._store.read() as reader:
            principal = principal_named(reader, arn)
            if principal is None:
                return None
            entity = _entity_behind(reader, principal)
            policies = Policies() if entity is None else self._policies.of_holder(reader, entity)
        return Credential(access_key_id="", secret="", principal=principal, policies=policies)

    def _read_role(self, key: tuple[str, str]) -> ActiveRole | None:
        account, name = key
        with self._store.read() as reader:
            role = reader.entity(Role, account, name)
        if role is None:
            return None
        document = parse_policy(role.trust_policy, PolicyKind.TRUST)
        return ActiveRole(role, compile_policy(document, role.arn, dict(role.trusted)))

    def _read_providers(self, account: str) -> Mapping[str, OpenIdConnectProvider]:
        with self._store.read() as reader:
            providers = reader.entities(OpenIdConnectProvider, account, "/", "", _MAX_PROVIDERS)
        return {provider.issuer: provider for provider in providers}

    def _opened(self, token: str) -> Session | None:
        """Return the session in a session token; None if it was not issued here."""
        try:
            sealed = base64.b64decode(token, validate=True)
            return _session_decoder.decode(self._secrets.unwrap_token(sealed, SESSION_BINDING))
        except (binascii.Error, ValueError, UnsealError, msgspec.DecodeError):
            return None

    def _read_session(self, session: Session) -> Credential | None:
        with self._store.read() as reader:
            entity = reader.entity_by_id(session.unique_id) if session.unique_id else None
            principal = _bearer_of(session, entity)
            if principal is None:
                return None
            own = self._policies.of_holder(reader, entity) if isinstance(entity, Holder) else Policies()
            return Credential(
                access_key_id=session.access_key_id,
                secret=session.secret,
                principal=principal,
                policies=self._policies.of_session(reader, session, own),
                issued_at=session.issued_at,
                expires_at=session.expires_at,
                source_identity=session.source_identity,
                session=session,
                unique_id=session.unique_id,
                used_as=session.unique_id,
            )


def principal_named(reader: IdentityReader, arn: str) -> Principal | None:
    """Return an account root, a user, a role's session or a service by its ARN or name; None if there is none.

    A role's own ARN stands for a session of it.
    """
    parsed = parse_arn(arn)
    if parsed is None:
        return service(arn) if ":" not in arn and arn.endswith(".amazonaws.com") else None
    account, kind = parsed.account, parsed.resource_type
    found: Principal | None = None
    if kind == "root" and parsed.partition in PARTITIONS and reader.account(account) is not None:
        found = account_root(account, partition=parsed.partition)
    elif kind == "user":
        user = reader.entity(User, account, parsed.resource_name)
        found = None if user is None else principal_of_user(user)
    elif kind == "role":
        found = _session_of(reader.entity(Role, account, parsed.resource_name), "session")
    elif kind == "assumed-role":
        name, _, session = parsed.resource_id.partition("/")
        found = _session_of(reader.entity(Role, account, name), session) if session else None
    # Names are found whatever their case, and their paths are not looked at: an ARN means exactly one.
    return found if found is not None and arn in {found.arn, found.issuer_arn} else None


def _session_of(role: Role | None, name: str) -> Principal | None:
    if role is None:
        return None
    return assumed_role(role.arn, name, role_id=role.unique_id, tags=tags_of(role.tags))


def tags_of(tags: tuple[tuple[str, str], ...], session_tags: tuple[tuple[str, str], ...] = ()) -> Mapping[str, str]:
    """Return a principal's tags; session tags override the role's, whatever the case of their keys."""
    overridden = {folded(name) for name, _ in session_tags}
    return {name: value for name, value in tags if folded(name) not in overridden} | dict(session_tags)


def principal_of_user(user: User) -> Principal:
    """Return a user as a principal."""
    return iam_user(user.arn, user_id=user.unique_id, tags=tags_of(user.tags))


def _principal_of(record: AccessKeyRecord, entity: Entity | None) -> Principal | None:
    if isinstance(entity, User):
        return principal_of_user(entity)
    if record.principal.startswith("arn:"):
        return account_root(record.account, partition=known_arn(record.principal).partition)
    return None if record.account else service(record.principal)


def _bearer_of(session: Session, entity: Entity | None) -> Principal | None:
    if isinstance(entity, Role):
        return assumed_role(
            entity.arn,
            session.session_name,
            role_id=entity.unique_id,
            provider=session.provider,
            tags=tags_of(entity.tags, session.tags),
        )
    if isinstance(entity, User):
        return principal_of_user(entity)
    return None if session.unique_id else account_root(session.account, partition=session.partition)


def _entity_behind(reader: IdentityReader, principal: Principal) -> Holder | None:
    unique_id = principal.unique_id
    entity = reader.entity_by_id(unique_id) if unique_id else None
    return entity if isinstance(entity, Holder) else None
