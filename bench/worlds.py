"""Data folders with many keys or grants, filled in large transactions; wrapped and authenticated as in service."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import insert

from strongroom.assembly.deployment import Deployment
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.keys.arns import KeyLocator, root_arn
from strongroom.keys.grants import Constraints, Grant, GrantOperation, Party
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, new_key
from strongroom.keys.specs import KeySpec, KeyUsage, Origin
from strongroom.operations.context import Backends
from strongroom.operations.kms.key_material import generate_material
from strongroom.settings import Settings
from strongroom.store.protocol import Transaction
from strongroom.store.sql import rows
from strongroom.store.sql.key_rows import sealed_key
from strongroom.store.sql.schema import key_count, key_material, kms_key
from strongroom.store.sqlite.engine import WRITE, open_sqlite
from strongroom.store.sqlite.store import SqlStore

ACCOUNT, REGION = "000000000000", "us-east-1"
TRUSTS_THE_ACCOUNT = default_policy(root_arn(REGION, ACCOUNT))
TRUSTS_ANOTHER = default_policy(root_arn(REGION, "444455556666"))
BATCH = 10_000
CLOCK = SystemClock()


def key_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def tenant(number: int) -> dict[str, str]:
    return {"app": "shop", "tenant": f"tenant-{number}"}


def opened(data: Path) -> Deployment:
    return Deployment(Settings(data=str(data), regions=(REGION,)), CLOCK, system_entropy)


def add_keys(data: Path, count: int) -> None:
    """Add keys that trust their account, to a folder without keys, in one transaction and many rows at a time."""
    with opened(data) as deployment:
        store = deployment.backends.store
        assert isinstance(store, SqlStore)
        engine = open_sqlite(data / "strongroom.db")
        with engine.connect().execution_options(**WRITE) as connection, connection.begin():
            for batch in _batches(count):
                keys = [_key(deployment.backends, number, TRUSTS_THE_ACCOUNT) for number in batch]
                connection.execute(insert(kms_key), [sealed_key(store.guard, key) for key in keys])
                connection.execute(insert(key_material), [rows.material_values(key, 0) for key in keys])
            connection.execute(insert(key_count).values(account=ACCOUNT, region=REGION, customer_keys=count))
        engine.dispose()


def add_granted_key(data: Path, grantee: str, count: int) -> None:
    """Add a key whose policy names another principal, with grants to a user (by unique id), one for each tenant."""
    with opened(data) as deployment:
        backends = deployment.backends
        key = _key(backends, 0, TRUSTS_ANOTHER)

        def change(transaction: Transaction) -> None:
            transaction.add_key(key)
            for number in range(count):
                transaction.add_grant(_grant(number, Party(grantee, grantee)))

        backends.store.write(change)


def _batches(count: int) -> Iterable[range]:
    return (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _key(backends: Backends, number: int, policy: str) -> KmsKey:
    place, spec, now = KeyLocator(ACCOUNT, REGION, key_id(number)), KeySpec.SYMMETRIC_DEFAULT, CLOCK.now()
    made = generate_material(backends.key_backends, system_entropy, place, spec, None)
    return new_key(
        place,
        spec=spec,
        usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=Origin.AWS_KMS,
        description="",
        policy=policy,
        multi_region=False,
        tags=(),
        material=KeyMaterial(made.owner.material_id, made.token, KeyMaterialState.CURRENT, now),
        now=now,
    )


def _grant(number: int, grantee: Party) -> Grant:
    return Grant(
        grant_id=f"{number:064x}",
        account=ACCOUNT,
        region=REGION,
        key_id=key_id(0),
        grantee=grantee,
        retiring=None,
        operations=(GrantOperation.ENCRYPT, GrantOperation.DECRYPT),
        constraints=Constraints(context_subset=tenant(number)),
        name="",
        issuing_account=ACCOUNT,
        created_at=0.0,
    )
