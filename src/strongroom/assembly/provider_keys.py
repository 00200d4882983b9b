"""Sets the keys of OpenID Connect providers that accounts have made through IAM, also while the server runs."""

from hashlib import sha256

from msgspec.structs import replace

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolderError
from strongroom.audit.operator_events import OperatorEvent
from strongroom.crypto.documents.issuer_keys import UnusableKeys, require_public_keys
from strongroom.iam.entities import OpenIdConnectProvider
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader


class ProviderKeys:
    """The keys of the providers in an opened data folder."""

    def __init__(self, store: Store, trail: CommandTrail) -> None:
        self._store = store
        self._trail = trail

    def set(self, account: str, url: str, keys: str) -> OpenIdConnectProvider:
        """Replace the keys (a JWK Set) of an account's provider and return it.

        Raises DataFolderError if there is no such provider, or if the keys are not usable.
        """
        try:
            require_public_keys(keys)
        except UnusableKeys as error:
            raise DataFolderError(f"these are no keys of an identity provider: {error}") from None

        def change(transaction: Transaction) -> OpenIdConnectProvider:
            provider = _require_provider(transaction, account, url)
            after = replace(provider, keys=keys)
            transaction.put_entity(after, provider)
            return after

        digest = sha256(keys.encode()).hexdigest()
        event = OperatorEvent(
            name="SetOpenIDConnectProviderKeys",
            command="identity-provider keys set",
            account=account,
            details={"url": url, "keysSha256": digest},
        )
        with self._trail.changing():
            with self._store.read() as reader:
                _require_provider(reader, account, url)
            with self._trail.recording(event):
                return self._store.write(change, AccountScope(account))


def _require_provider(reader: IdentityReader, account: str, url: str) -> OpenIdConnectProvider:
    """Return an account's provider with an issuer URL; raises DataFolderError if there is none."""
    provider = reader.entity(OpenIdConnectProvider, account, url.removeprefix("https://"))
    if provider is None or provider.issuer != url:
        raise DataFolderError(
            f"account {account} has no OpenID Connect provider for `{url}`; make it first, with "
            "iam create-open-id-connect-provider"
        )
    return provider
