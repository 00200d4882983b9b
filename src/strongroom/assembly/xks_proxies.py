"""Makes and changes XKS proxies, their credentials and the keys that they give out, also while they are served."""

import base64
import json
import re
from collections.abc import Callable, Mapping

import msgspec

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.clock import Clock
from strongroom.crypto.binding import xks_credential_binding
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.keys.arns import AliasLocator, KeyIdForms, KeyLocator, parse_key_id
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage
from strongroom.service.xks_authorization import ACTIONS, XKS_PRINCIPAL, decide_on_call
from strongroom.service.xks_facts import XksFacts
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.xks_proxy.paths import Route, uri_path
from strongroom.xks_proxy.registry import (
    MOST_CREDENTIALS,
    Usage,
    XksCredential,
    XksKey,
    XksProxy,
    is_external_id,
    is_prefix,
)

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
_ID_BYTES = 15
"""24 characters in base 32; the protocol allows 20 to 30."""
_SECRET_BYTES = 33
"""44 characters in base 64; the protocol allows 43 to 64."""


def xks_proxies_of(opened: OpenFolder, clock: Clock) -> "XksProxies":
    """Return what changes the XKS proxies of a data folder that a command has opened."""
    backends = opened.backends
    return XksProxies(
        opened.store,
        backends.secrets,
        backends.snapshot,
        trail=opened.trail,
        clock=clock,
        entropy=opened.entropy,
    )


class DescribedProxy(msgspec.Struct, frozen=True):
    """A proxy with its credentials and keys."""

    proxy: XksProxy
    credentials: list[XksCredential]
    keys: list[XksKey]


class XksProxies:
    """The XKS proxies of an opened data folder."""

    def __init__(
        self,
        store: Store,
        secrets: ServiceSecrets,
        snapshot: Snapshot,
        *,
        trail: CommandTrail,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._snapshot = snapshot
        self._trail = trail
        self._clock = clock
        self._entropy = entropy

    def proxies(self) -> list[DescribedProxy]:
        """Return every proxy, by prefix."""
        with self._store.read() as reader:
            return [_described(reader, proxy) for proxy in reader.xks_proxies()]

    def proxy(self, prefix: str) -> DescribedProxy:
        """Return one proxy; raises DataFolderError if there is none."""
        with self._store.read() as reader:
            return _described(reader, _require_proxy(reader, prefix))

    def add(self, prefix: str, account: str, region: str, signing_region: str) -> None:
        """Make a proxy that gives out keys of an account in a Region, to the KMS of an AWS Region.

        Raises DataFolderError if it exists, or if the account or the Region does not.
        """
        if not is_prefix(prefix):
            raise DataFolderError(
                f"`{prefix}` is no prefix: it has up to 115 letters, digits, hyphens and underscores, and slashes"
            )
        if not _REGION.fullmatch(signing_region):
            raise DataFolderError(f"`{signing_region}` is no AWS Region")
        proxy = XksProxy(prefix, account, region, signing_region, self._clock.now())

        def require_new(reader: Reader) -> None:
            if reader.xks_proxy(prefix) is not None:
                raise DataFolderError(f"there is an XKS proxy {_shown(prefix)} already")
            if reader.account(account) is None:
                raise DataFolderError(
                    f"there is no account {account}; to make it, run: strongroom account create {account}"
                )
            if region not in {each.scope for each in reader.domain_keys()} - {IAM_SCOPE}:
                raise DataFolderError(f"no server of this data folder has served the Region {region}")

        details = {"prefix": prefix, "accountId": account, "region": region, "signingRegion": signing_region}
        event = _event("CreateXksProxy", "add", account, details)
        self._change(event, require_new, lambda transaction: transaction.add_xks_proxy(proxy))

    def remove(self, prefix: str) -> None:
        """Remove a proxy with its credentials, and what it gives out; raises DataFolderError if there is none."""
        found = self.proxy(prefix)
        ids = [each.access_key_id for each in found.credentials]
        event = _event("DeleteXksProxy", "remove", found.proxy.account, {"prefix": prefix, "accessKeyIds": ids})
        self._change(
            event,
            lambda reader: _require_proxy(reader, prefix),
            lambda transaction: transaction.remove_xks_proxy(found.proxy),
        )

    # --- credentials

    def add_credential(self, prefix: str) -> str:
        """Make a credential and return its access key id; raises DataFolderError if there are too many."""
        access_key_id = base64.b32encode(self._entropy(_ID_BYTES)).decode()
        secret = base64.b64encode(self._entropy(_SECRET_BYTES))
        wrapped = self._secrets.wrap(secret, xks_credential_binding(prefix, access_key_id))
        credential = XksCredential(access_key_id, prefix, wrapped, self._clock.now())

        def require_room(reader: Reader) -> None:
            _require_proxy(reader, prefix)
            if len(reader.xks_credentials(prefix)) >= MOST_CREDENTIALS:
                raise DataFolderError(
                    f"XKS proxy {_shown(prefix)} has {MOST_CREDENTIALS} credentials already; remove one that AWS KMS "
                    "does not use any more"
                )

        details = {"prefix": prefix, "accessKeyId": access_key_id}
        event = _event("CreateXksProxyCredential", "credential add", self.proxy(prefix).proxy.account, details)
        self._change(event, require_room, lambda transaction: transaction.add_xks_credential(credential))
        return access_key_id

    def remove_credential(self, prefix: str, access_key_id: str) -> None:
        """End a credential: no call that begins after this is signed with it. Raises DataFolderError."""

        def find(reader: Reader) -> XksCredential:
            return _require_credential(reader, prefix, access_key_id)

        details = {"prefix": prefix, "accessKeyId": access_key_id}
        event = _event("DeleteXksProxyCredential", "credential remove", self.proxy(prefix).proxy.account, details)
        self._change(event, find, lambda transaction: transaction.remove_xks_credential(find(transaction)))

    def export(self, prefix: str, access_key_id: str | None) -> str:
        """Return what AWS KMS has to be told: JSON with the path and a credential, in plaintext.

        By default it is the newest credential. Raises DataFolderError if there is none.
        """
        found = self.proxy(prefix)
        if access_key_id is None and not found.credentials:
            raise DataFolderError(
                f"XKS proxy {_shown(prefix)} has no credential; to make one, run: strongroom xks-proxy credential add"
            )
        chosen = access_key_id or found.credentials[-1].access_key_id
        with self._trail.changing():
            with self._store.read() as reader:
                credential = _require_credential(reader, prefix, chosen)
            details = {"prefix": prefix, "accessKeyId": chosen}
            with self._trail.recording(_event("ExportXksProxyCredential", "export", found.proxy.account, details)):
                try:
                    secret = self._secrets.unwrap(credential.wrapped_secret, xks_credential_binding(prefix, chosen))
                except UnsealError as error:
                    raise DataFolderError(
                        f"the secret of credential {chosen} is damaged ({error}); make another"
                    ) from None
        document = {
            "XksProxyUriPath": uri_path(prefix),
            "XksProxyAuthenticationCredential": {"AccessKeyId": chosen, "RawSecretAccessKey": secret.decode()},
        }
        return json.dumps(document, indent=2)

    # --- keys

    def add_key(self, prefix: str, external_id: str, key_id: str, usages: tuple[Usage, ...]) -> KmsKey:
        """Give out a key under an external id, and return the key.

        ``key_id`` is the id, ARN or alias of a symmetric customer managed key in the proxy's account and Region. Raises
        DataFolderError.
        """
        if not is_external_id(external_id):
            raise DataFolderError(
                f"`{external_id}` is no external id: it has up to 128 letters, digits, hyphens, dots and underscores"
            )
        proxy = self.proxy(prefix).proxy
        with self._store.read() as reader:
            key = _require_fit(reader, proxy, key_id)
        given = XksKey(prefix, external_id, key.key_id, usages, self._clock.now())

        def require_free(reader: Reader) -> None:
            _require_proxy(reader, prefix)
            if reader.xks_key(prefix, external_id) is not None:
                raise DataFolderError(f"XKS proxy {_shown(prefix)} has a key {external_id} already")

        details = {"prefix": prefix, "externalKeyId": external_id, "keyArn": key.arn, "usages": list(usages)}
        event = _event("AddXksProxyKey", "key add", proxy.account, details)
        self._change(event, require_free, lambda transaction: transaction.add_xks_key(given))
        return key

    def remove_key(self, prefix: str, external_id: str) -> None:
        """Stop giving out a key; the KMS key stays. Raises DataFolderError if there is none."""

        def find(reader: Reader) -> XksKey:
            found = reader.xks_key(prefix, external_id)
            if found is None:
                raise DataFolderError(f"XKS proxy {_shown(prefix)} has no key {external_id}")
            return found

        details = {"prefix": prefix, "externalKeyId": external_id}
        event = _event("RemoveXksProxyKey", "key remove", self.proxy(prefix).proxy.account, details)
        self._change(event, find, lambda transaction: transaction.remove_xks_key(find(transaction)))

    def refused_actions(self, key: KmsKey) -> list[str]:
        """Return the actions that the policy of a key does not allow the proxy, whatever AWS KMS claims."""
        active = self._snapshot.active(key)
        facts = [XksFacts(Route("", call), self._clock.now(), "", "", "", secure=True, key=key) for call in ACTIONS]
        return [ACTIONS[each.route.call] for each in facts if not decide_on_call(each, active).allowed]

    def _change(
        self, event: OperatorEvent, require: Callable[[Reader], object], act: Callable[[Transaction], None]
    ) -> None:
        """Make a change that is recorded first, if what ``require`` checks holds before and in the transaction."""

        def checked(transaction: Transaction) -> None:
            require(transaction)
            act(transaction)

        with self._trail.changing():
            with self._store.read() as reader:
                require(reader)
            with self._trail.recording(event):
                self._store.write(checked, AccountScope(""))


def statement_for(actions: list[str]) -> str:
    """Return a statement for the policy of a key that allows the proxy some actions, as JSON."""
    return json.dumps(
        {"Effect": "Allow", "Principal": {"Service": XKS_PRINCIPAL}, "Action": actions, "Resource": "*"}, indent=2
    )


def _event(name: str, command: str, account: str, details: Mapping[str, object]) -> OperatorEvent:
    return OperatorEvent(name=name, command=f"xks-proxy {command}", source=KEY_SOURCE, account=account, details=details)


def _shown(prefix: str) -> str:
    return prefix or "/"


def _described(reader: Reader, proxy: XksProxy) -> DescribedProxy:
    return DescribedProxy(proxy, reader.xks_credentials(proxy.prefix), reader.xks_keys(proxy.prefix))


def _require_proxy(reader: Reader, prefix: str) -> XksProxy:
    found = reader.xks_proxy(prefix)
    if found is None:
        raise DataFolderError(
            f"there is no XKS proxy {_shown(prefix)}; to make it, run: strongroom xks-proxy add {_shown(prefix)}"
        )
    return found


def _require_credential(reader: Reader, prefix: str, access_key_id: str) -> XksCredential:
    for each in reader.xks_credentials(prefix):
        if each.access_key_id == access_key_id:
            return each
    raise DataFolderError(f"XKS proxy {_shown(prefix)} has no credential {access_key_id}")


def _require_fit(reader: Reader, proxy: XksProxy, key_id: str) -> KmsKey:
    """Return a key that a proxy can give out; raises DataFolderError."""
    try:
        locator = parse_key_id(key_id, proxy.account, proxy.region, KeyIdForms.ANY)
    except KmsError:
        raise DataFolderError(f"`{key_id}` names no key in the Region {proxy.region}") from None
    if isinstance(locator, AliasLocator):
        record = reader.alias(locator)
        locator = KeyLocator(locator.account, locator.region, "" if record is None else record.key_id)
    key = reader.key(locator)
    if key is None or key.account != proxy.account:
        raise DataFolderError(f"account {proxy.account} has no key `{key_id}` in the Region {proxy.region}")
    symmetric = key.spec is KeySpec.SYMMETRIC_DEFAULT and key.usage is KeyUsage.ENCRYPT_DECRYPT
    if not symmetric or key.manager is not KeyManager.CUSTOMER or key.custom_key_store_id is not None:
        raise DataFolderError(
            f"`{key.arn}` cannot be given out: only customer managed keys of the spec SYMMETRIC_DEFAULT can, "
            "which are in no custom key store"
        )
    return key
