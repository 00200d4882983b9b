"""Makes accounts, and services that are trusted to call on behalf of others, also while the server runs."""

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.credentials import (
    CredentialsFileError,
    add_profile,
    given_key,
    remove_profile,
    require_editable,
)
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.audit.operator_events import OperatorEvent
from strongroom.clock import Clock
from strongroom.crypto.access_keys import NewAccessKey, new_access_key
from strongroom.crypto.binding import access_key_binding
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.errors import QuarantinedIdentityException
from strongroom.iam.entities import EntityKind, User
from strongroom.keys.arns import partition, root_arn
from strongroom.operations.iam.entities import new_id
from strongroom.store.protocol import Store, Transaction
from strongroom.store.quarantine import printable
from strongroom.store.records import AccessKeyRecord, AccountRecord
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

logger = logging.getLogger(__name__)

_ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


class Registrar:
    """Makes accounts and services in an opened data folder."""

    def __init__(
        self,
        folder: DataFolder,
        store: Store,
        secrets: ServiceSecrets,
        clock: Clock,
        entropy: Entropy,
        trail: CommandTrail | None = None,
    ) -> None:
        """``trail`` records every change before it is made; None at a first start, which makes everything."""
        self._folder = folder
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._entropy = entropy
        self._trail = trail

    def create_account(self, account: str, region: str, profile: str, administrator: str | None = None) -> None:
        """Make an account with a root access key, in a Region's partition.

        If the credentials file has the profile already, its access key becomes that of the account, and the file stays
        as it is. With an ``administrator``, the profile is that of a user of this name who may do everything, and the
        root access key is in ``root-credentials``. Raises DataFolderError if the account exists, or if an access key
        that was given cannot be used.
        """
        with self._changing():
            now = self._clock.now()
            user = None if administrator is None else _administrator(account, region, administrator, now, self._entropy)
            owners = [(root_arn(region, account), self._folder.credentials)]
            if user is not None:
                owners = [(owners[0][0], self._folder.root_credentials), (user.unique_id, self._folder.credentials)]
            with self._store.read() as reader:
                _require_new_account(reader, account)
                keys = [self._new_or_given(reader, account, file, profile) for _, file in owners]
            records = [
                access_key_record(self._secrets, key, account, owner, now)
                for (owner, _), key in zip(owners, keys, strict=True)
            ]

            def add(transaction: Transaction) -> None:
                _require_new_account(transaction, account)
                transaction.add_account(AccountRecord(account, now))
                if user is not None:
                    transaction.put_entity(user)
                for record in records:
                    transaction.add_access_key(record)

            details = {"accountId": account, "accessKeyId": keys[0].access_key_id}
            event = OperatorEvent(name="CreateAccount", command="account create", account=account, details=details)
            with self._recording(event):
                # The files are written first: if this process dies in between, the next attempt finds the keys there.
                for (_, file), key in zip(owners, keys, strict=True):
                    if self._given_key(file, profile) is None:
                        of_user = None if file == owners[0][1] else administrator
                        add_profile(file, profile, key, user=of_user)
                self._store.write(add, AccountScope(""), AccountScope(account))

    def create_service(self, name: str) -> None:
        """Make an access key for a service.

        Raises DataFolderError if it has one, or if the credentials file cannot be read.
        """
        with self._changing():
            with self._store.read() as reader:
                _require_new_service(reader, name)
            try:
                require_editable(self._folder.credentials)
            except CredentialsFileError as error:
                raise DataFolderError(str(error)) from None
            key = new_access_key("AKIA", self._entropy)
            access_key = access_key_record(self._secrets, key, "", name, self._clock.now())

            def add(transaction: Transaction) -> None:
                _require_new_service(transaction, name)
                transaction.add_access_key(access_key)

            with self._recording(_service_event("CreateService", "service create", name, [key.access_key_id])):
                # This replaces the profile that an interrupted attempt has left: its key may be one that was revoked.
                add_profile(self._folder.credentials, name, key)
                self._store.write(add, AccountScope(""))

    def services(self) -> list[AccessKeyRecord]:
        """List the access keys of services, by name."""
        with self._store.read() as reader:
            return [record for name in reader.services() for record in reader.access_keys("", name)]

    def delete_service(self, name: str) -> None:
        """End the access key of a service, also one that is quarantined: no call that begins after this uses it.

        Raises DataFolderError if it has none. Policies and grants that name the service stay, and so do the AWS managed
        keys that were made for it. A profile that cannot be removed from the credentials file stays, with a warning.
        """
        with self._changing():
            with self._store.read() as reader:
                ended = [*map(printable, _require_service(reader, name))]

            def remove(transaction: Transaction) -> None:
                _require_service(transaction, name)
                transaction.remove_access_keys("", name)

            with self._recording(_service_event("DeleteService", "service delete", name, ended)):
                self._store.write(remove, AccountScope(""))
            # The change that was recorded is made, also if the file cannot be written.
            remove_useless_profile(self._folder.credentials, name)

    def _new_or_given(self, reader: IdentityReader, account: str, file: Path, profile: str) -> NewAccessKey:
        """Return the access key that a profile of a file has, or a new one if there is none."""
        given = self._given_key(file, profile)
        if given is not None and _is_in_use(reader, given):
            raise DataFolderError(f"the access key of profile {profile} in `{file}` is in use already")
        return given or new_access_key("AKIA", self._entropy, account)

    def _given_key(self, file: Path, profile: str) -> NewAccessKey | None:
        try:
            return given_key(file, profile)
        except CredentialsFileError as error:
            raise DataFolderError(str(error)) from None

    def _changing(self) -> AbstractContextManager[bool]:
        return self._folder.changing() if self._trail is None else self._trail.changing()

    def _recording(self, event: OperatorEvent) -> AbstractContextManager[None]:
        return nullcontext() if self._trail is None else self._trail.recording(event)


def remove_useless_profile(file: Path, profile: str) -> bool:
    """Remove a profile whose access key was deleted; if that is not possible, warn of it and return False."""
    try:
        remove_profile(file, profile)
    except CredentialsFileError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.strerror} (`{error.filename or file}`)"
    else:
        return True
    logger.warning(
        "profile %s has no access key that works any more, but is still in `%s`: %s; remove it there",
        profile,
        file,
        reason,
    )
    return False


def _administrator(account: str, region: str, name: str, now: float, entropy: Entropy) -> User:
    return User(
        account=account,
        name=name,
        unique_id=new_id(EntityKind.USER, entropy),
        created_at=now,
        partition=partition(region),
        attached=(_ADMINISTRATOR_ACCESS,),
    )


def access_key_record(
    secrets: ServiceSecrets, key: NewAccessKey, account: str, principal: str, now: float
) -> AccessKeyRecord:
    """Return what the store keeps of a new access key: active, its secret wrapped."""
    return AccessKeyRecord(
        access_key_id=key.access_key_id,
        account=account,
        principal=principal,
        wrapped_secret=secrets.wrap(key.secret.encode(), access_key_binding(key.access_key_id)),
        active=True,
        created_at=now,
    )


def _service_event(name: str, command: str, service: str, keys: list[str]) -> OperatorEvent:
    return OperatorEvent(name=name, command=command, details={"serviceName": service, "accessKeyIds": keys})


def _require_service(reader: IdentityReader, name: str) -> list[str]:
    """Return the ids of a service's access keys; raises DataFolderError if it has none."""
    found = reader.access_key_ids("", name)
    if not found:
        raise DataFolderError(f"service {name} has no access key")
    return found


def _require_new_account(reader: IdentityReader, account: str) -> None:
    try:
        exists = reader.account(account) is not None
    except QuarantinedIdentityException as error:
        raise DataFolderError(str(error)) from None
    if exists:
        raise DataFolderError(f"account {account} exists already")


def _require_new_service(reader: IdentityReader, name: str) -> None:
    if name in reader.services():
        raise DataFolderError(f"service {name} has an access key already")


def _is_in_use(reader: IdentityReader, key: NewAccessKey) -> bool:
    try:
        return reader.access_key(key.access_key_id) is not None
    except QuarantinedIdentityException:
        return True
