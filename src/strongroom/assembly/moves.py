"""What keeps the keys of a Region where they are, although new domain keys protect something else.

A rotation wraps all keys of a Region anew, and so moves them to what the setting ``key-protection`` says. It is refused
before it begins if not all of them can follow.
"""

from collections.abc import Sequence

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.domain_keys import Protection
from strongroom.assembly.protections import FULL_DEPTH, newest_protection
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.store.protocol import Readable


class NotMovableError(DataFolderError):
    """Keys of a Region cannot move to what new domain keys protect."""


def require_movable(store: Readable, domain_keys: DomainKeys, protection: Protection, scopes: Sequence[str]) -> None:
    """Refuse domain keys under which the keys of Regions could not be wrapped.

    Raises NotMovableError, and as ``ConfiguredToken.require`` if the token has to be asked.
    """
    regions = [scope for scope in scopes if scope != IAM_SCOPE]
    for region, now in newest_protection(domain_keys, regions).items():
        if now != protection.kind and FULL_DEPTH in {now, protection.kind}:
            with store.read() as reader:
                keys = reader.count_keys_by_kind(region)
            if keys and now == FULL_DEPTH:
                raise NotMovableError(
                    f"what is in the hardware token does not leave it: {_keys(sum(keys.values()))} in {region}; set "
                    f"`key-protection` to {FULL_DEPTH}, or rotate other Regions alone (--region)"
                )
            _require_kept(region, keys, protection)


def _require_kept(region: str, keys: dict[tuple[str, str], int], protection: Protection) -> None:
    refused = {
        f"{count} of {spec} for {usage} ({reason})": count
        for (spec, usage), count in sorted(keys.items())
        if (reason := protection.token.refusal(KeySpec(spec), KeyUsage(usage))) is not None
    }
    if refused:
        raise NotMovableError(
            f"the hardware token cannot keep {_keys(sum(refused.values()))} in {region}: {'; '.join(refused)}; delete "
            f"them, or leave `key-protection` as it is"
        )


def _keys(number: int) -> str:
    return "1 key" if number == 1 else f"{number} keys"
