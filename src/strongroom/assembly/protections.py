"""The three kinds of protection that domain keys give: in software, in a token (root depth), and in full depth."""

from collections.abc import Iterable, Mapping

from strongroom.crypto.domain_keys import DomainKeys, OpenDomainKey
from strongroom.settings import KeyProtection

SOFTWARE: KeyProtection = "software"
ROOT_DEPTH: KeyProtection = "pkcs11-root"
FULL_DEPTH: KeyProtection = "pkcs11-full"


def protection_of(opened: OpenDomainKey) -> KeyProtection:
    """Return what a domain key gives."""
    if opened.in_token:
        return ROOT_DEPTH
    return FULL_DEPTH if opened.key_encryption_key else SOFTWARE


def object_id_of(opened: OpenDomainKey) -> bytes:
    """Return the id of what a domain key has in a token; it must have something there."""
    assert opened.object_id is not None  # noqa: S101 - for the type checker
    return opened.object_id


def newest_protection(domain_keys: DomainKeys, regions: Iterable[str]) -> Mapping[str, KeyProtection]:
    """Return what the newest domain key of each Region gives, which protects what is made there now."""
    newest = dict(sorted(domain_keys.versions()))
    in_token = {(each.scope, each.version): protection_of(each) for each in domain_keys.in_token}
    return {region: in_token.get((region, newest.get(region, 0)), SOFTWARE) for region in regions}
