"""Compares ``credentials`` with the database: which profiles have an access key that does not work any more.

A rotation through IAM changes the database alone. The file is never changed for that, because only IAM's answer has the
new secret; but an operator is told, by the start and by the commands about accounts and services.
"""

import hmac

from strongroom.assembly.credentials import CredentialsFileError, long_term_keys
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.root_keys import accounts_by_profile
from strongroom.crypto.access_keys import NewAccessKey
from strongroom.crypto.binding import access_key_binding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.errors import QuarantinedIdentityException
from strongroom.store.protocol import Readable, Reader

_SERVICE_DOMAIN = ".amazonaws.com"


class Profiles:
    """The profiles of the credentials file in an opened data folder."""

    def __init__(self, folder: DataFolder, store: Readable, secrets: ServiceSecrets) -> None:
        self._folder = folder
        self._store = store
        self._secrets = secrets

    def problems(self) -> list[str]:
        """Say of each profile whose access key does not work why, and which command gives a new one; one line each."""
        path = self._folder.credentials
        try:
            profiles = long_term_keys(path)
        except CredentialsFileError as error:
            return [f"{error}; repair it, or move it away and run: strongroom account root-key ID"]
        found = []
        with self._store.read() as reader:
            for profile, key in profiles.items():
                reason = self._why_useless(reader, key)
                if reason:
                    remedy = _remedy(reader, profile)
                    found.append(
                        f"profile {profile} in `{path}` does not work any more: access key {key.access_key_id} "
                        f"{reason}; {remedy}"
                    )
        return found

    def _why_useless(self, reader: Reader, key: NewAccessKey) -> str:
        """Say why an access key does not work; empty if it does."""
        try:
            record = reader.access_key(key.access_key_id)
        except QuarantinedIdentityException:
            return "has a damaged record in the database"
        if record is None:
            return "does not exist"
        if not record.active:
            return "is inactive"
        try:
            secret = self._secrets.unwrap(record.wrapped_secret, access_key_binding(record.access_key_id))
        except UnsealError:
            return "cannot be opened in the database"
        return "" if hmac.compare_digest(secret, key.secret.encode()) else "has another secret"


def _remedy(reader: Reader, profile: str) -> str:
    account = accounts_by_profile(reader.accounts()).get(profile)
    if account is not None:
        return f"for a new one, run: strongroom account root-key {account.account}"
    if profile.endswith(_SERVICE_DOMAIN):
        if profile in reader.services():
            return f"for a new one, run: strongroom service delete {profile}, then strongroom service create {profile}"
        return f"for a new one, run: strongroom service create {profile}"
    return "give the profile another access key, or remove it from the file"
