"""Builds grants for tests."""

from keys_builder import NOW, locator
from strongroom.keys.grants import Constraints, Grant, GrantOperation, Party

HOLDER = "AIDAALICEALICEALICE12"
S1, S2 = "arn:aws:s3:::111122223333:bucket/one", "arn:aws:s3:::111122223333:bucket/two"


def equals(**context: str) -> Constraints:
    """Return the constraint EncryptionContextEquals."""
    return Constraints(context_equals=context)


def subset(**context: str) -> Constraints:
    """Return the constraint EncryptionContextSubset."""
    return Constraints(context_subset=context)


def make_grant(
    number: int = 1,
    *operations: GrantOperation,
    constraints: Constraints | None = None,
    key: int = 1,
    to: str = HOLDER,
    retiring: str | None = None,
    name: str = "",
) -> Grant:
    """Return grant ``number`` on key ``key``; for Encrypt if no operations are given."""
    where = locator(key)
    return Grant(
        grant_id=f"{number:064x}",
        account=where.account,
        region=where.region,
        key_id=where.key_id,
        grantee=Party(to, to),
        retiring=None if retiring is None else Party(retiring, retiring),
        operations=operations or (GrantOperation.ENCRYPT,),
        constraints=constraints or Constraints(),
        name=name,
        issuing_account=where.account,
        created_at=NOW,
    )
