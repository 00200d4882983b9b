"""Sets the keys of OpenID Connect providers that accounts have made through IAM, also while the server runs."""

from msgspec.structs import replace

from strongroom.assembly.data_folder import DataFolderError
from strongroom.crypto.documents.issuer_keys import UnusableKeys, require_public_keys
from strongroom.iam.entities import OpenIdConnectProvider
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope


class ProviderKeys:
    """The keys of the providers in an opened data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def set(self, account: str, url: str, keys: str) -> OpenIdConnectProvider:
        """Replace the keys (a JWK Set) of an account's provider and return it.

        Raises DataFolderError if there is no such provider, or if the keys are not usable.
        """
        try:
            require_public_keys(keys)
        except UnusableKeys as error:
            raise DataFolderError(f"these are no keys of an identity provider: {error}") from None

        def change(transaction: Transaction) -> OpenIdConnectProvider:
            provider = transaction.entity(OpenIdConnectProvider, account, url.removeprefix("https://"))
            if provider is None or provider.issuer != url:
                raise DataFolderError(
                    f"account {account} has no OpenID Connect provider for `{url}`; make it first, with "
                    "iam create-open-id-connect-provider"
                )
            after = replace(provider, keys=keys)
            transaction.put_entity(after, provider)
            return after

        return self._store.write(change, AccountScope(account))
