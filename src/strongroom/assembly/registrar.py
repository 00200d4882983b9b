"""Makes accounts, and services that are trusted to call on behalf of others, also while the server runs."""

from strongroom.assembly.credentials import CredentialsFileError, add_profile, given_key, remove_profile
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.clock import Clock
from strongroom.crypto.access_keys import NewAccessKey, new_access_key
from strongroom.crypto.binding import access_key_binding
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.errors import QuarantinedIdentityException
from strongroom.keys.arns import root_arn
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyRecord, AccountRecord
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader


class Registrar:
    """Makes accounts and services in an opened data folder."""

    def __init__(
        self, folder: DataFolder, store: Store, secrets: ServiceSecrets, clock: Clock, entropy: Entropy
    ) -> None:
        self._folder = folder
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._entropy = entropy

    def create_account(self, account: str, region: str, profile: str) -> None:
        """Make an account with a root access key, in a Region's partition.

        If the credentials file has the profile already, its access key becomes that of the account, and the file stays
        as it is. Raises DataFolderError if the account exists, or if that access key cannot be used.
        """
        with self._folder.registering():
            key = self._given_key(profile)
            with self._store.read() as reader:
                _require_new_account(reader, account)
                if key is not None and _is_in_use(reader, key):
                    raise DataFolderError(
                        f"the access key of profile {profile} in `{self._folder.credentials}` is in use already"
                    )
            key = key or self._new_key_in_file(profile, account)
            access_key = self._record(key, account, root_arn(region, account))

            def add(transaction: Transaction) -> None:
                _require_new_account(transaction, account)
                transaction.add_account(AccountRecord(account, access_key.created_at))
                transaction.add_access_key(access_key)

            self._store.write(add, AccountScope(""), AccountScope(account))

    def create_service(self, name: str) -> None:
        """Make an access key for a service; raises DataFolderError if it has one."""
        with self._folder.registering():
            with self._store.read() as reader:
                _require_new_service(reader, name)
            access_key = self._record(self._new_key_in_file(name), "", name)

            def add(transaction: Transaction) -> None:
                _require_new_service(transaction, name)
                transaction.add_access_key(access_key)

            self._store.write(add, AccountScope(""))

    def services(self) -> list[AccessKeyRecord]:
        """List the access keys of services, by name."""
        with self._store.read() as reader:
            return [record for name in reader.services() for record in reader.access_keys("", name)]

    def delete_service(self, name: str) -> None:
        """End the access key of a service: no call that begins after this uses it.

        Raises DataFolderError if it has none. Policies and grants that name the service stay, and so do the AWS managed
        keys that were made for it.
        """
        with self._folder.registering():

            def remove(transaction: Transaction) -> None:
                records = transaction.access_keys("", name)
                if not records:
                    raise DataFolderError(f"service {name} has no access key")
                for record in records:
                    transaction.remove_access_key(record)

            self._store.write(remove, AccountScope(""))
            remove_profile(self._folder.credentials, name)

    def _given_key(self, profile: str) -> NewAccessKey | None:
        try:
            return given_key(self._folder.credentials, profile)
        except CredentialsFileError as error:
            raise DataFolderError(str(error)) from None

    def _new_key_in_file(self, profile: str, account: str = "") -> NewAccessKey:
        # The file is written first: if this process dies in between, the next attempt finds the key of an account
        # there. That of a service it replaces, as it may be one that was revoked.
        key = new_access_key("AKIA", self._entropy, account)
        add_profile(self._folder.credentials, profile, key)
        return key

    def _record(self, key: NewAccessKey, account: str, principal: str) -> AccessKeyRecord:
        return AccessKeyRecord(
            access_key_id=key.access_key_id,
            account=account,
            principal=principal,
            wrapped_secret=self._secrets.wrap(key.secret.encode(), access_key_binding(key.access_key_id)),
            active=True,
            created_at=self._clock.now(),
        )


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
