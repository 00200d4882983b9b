"""The cost of one authorization decision, in process, as keys, grants and users grow: it should not.

Every call is allowed only by a grant: the key policy names another principal. All sizes are measured in every round, so
that other load on the machine affects all alike.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from measure import machine
from strongroom.assembly.deployment import Deployment
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.iam import Principal
from strongroom.iam.principals import iam_user
from strongroom.keys.arns import KeyIdForms, KeyLocator
from strongroom.keys.grants import Constraints, Grant, GrantOperation, Party
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, new_key
from strongroom.keys.specs import KeySpec, KeyUsage, Origin
from strongroom.operations.authorization import authorize
from strongroom.operations.context import Context
from strongroom.operations.context import Origin as Sender
from strongroom.operations.kms.encryption import EncryptRequest
from strongroom.operations.kms.targets import by_key_id
from strongroom.operations.targets import Target
from strongroom.settings import Settings
from strongroom.snapshot.principals import Credential
from strongroom.store.protocol import Transaction

ACCOUNT, REGION = "111122223333", "us-east-1"
POLICY = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},'
    '"Action":"kms:*","Resource":"*"}}'
)
ROUNDS = 9
CALLS = 3000
# Few enough to stay in the processor's caches: what is measured is the work, not the memory.
PREPARED = 100

Call = tuple[Context, list[Target], EncryptRequest]


class World(NamedTuple):
    """Numbers of keys, users, and grants on each key. ``shared`` grants all go to the first user."""

    keys: int = 1
    users: int = 1
    grants: int = 1
    shared: bool = False


QUESTIONS = {
    "keys, one grant on each": [World(keys=size) for size in (1, 100, 10_000)],
    "grants to one grantee, each for another tenant": [World(grants=size, shared=True) for size in (1, 1000, 50_000)],
    "grants, each to another grantee": [World(grants=size) for size in (1, 1000, 50_000)],
    "users who call, each with a grant": [World(users=size, grants=size) for size in (1, 1000)],
}


def user(number: int) -> Principal:
    return iam_user(f"arn:aws:iam::{ACCOUNT}:user/user-{number}", user_id=f"AIDA{number:017}")


def key_place(number: int) -> KeyLocator:
    return KeyLocator(ACCOUNT, REGION, f"{number:08}-0000-4000-8000-000000000000")


def tenant(number: int) -> dict[str, str]:
    return {"app": "shop", "tenant": f"tenant-{number}"}


def grants_on(place: KeyLocator, world: World) -> Iterator[Grant]:
    for number in range(world.grants):
        name = user(0 if world.shared else number).user_id
        yield Grant(
            grant_id=f"{number:064x}",
            account=place.account,
            region=place.region,
            key_id=place.key_id,
            grantee=Party(name, name),
            retiring=None,
            operations=(GrantOperation.ENCRYPT, GrantOperation.DECRYPT),
            constraints=Constraints(context_subset=tenant(number)),
            name="",
            issuing_account=ACCOUNT,
            created_at=0.0,
        )


def fill(deployment: Deployment, world: World) -> None:
    def change(transaction: Transaction) -> None:
        for number in range(world.keys):
            place = key_place(number)
            key = new_key(
                place,
                spec=KeySpec.SYMMETRIC_DEFAULT,
                usage=KeyUsage.ENCRYPT_DECRYPT,
                origin=Origin.AWS_KMS,
                description="",
                policy=POLICY,
                multi_region=False,
                tags=(),
                material=KeyMaterial(f"{number:064x}", b"never opened", KeyMaterialState.CURRENT, 0.0),
                now=0.0,
            )
            transaction.add_key(key)
            for grant in grants_on(place, world):
                transaction.add_grant(grant)

    deployment.backends.store.write(change)


def calls(deployment: Deployment, world: World) -> list[Call]:
    """Return calls spread over the world's keys, grants and users, each decided once so that all is in memory."""
    deployment.backends.snapshot.refresh()
    locate = by_key_id("kms:Encrypt", KeyIdForms.ANY)
    sender = Sender(request_id="", source_ip="127.0.0.1", user_agent="bench", secure=True)
    prepared: list[Call] = []
    count = max(PREPARED, world.keys, world.users)
    for number in range(count):
        # Of many grants to many, one user who calls alone has the first.
        grant = number * world.grants // count if world.shared or world.users > 1 else 0
        context = Context(
            backends=deployment.backends,
            credential=Credential(access_key_id="", secret="", principal=user(0 if world.shared else grant)),
            region=REGION,
            now=0.0,
            action="kms:Encrypt",
            rule=None,
            cross_account=True,
            origin=sender,
        )
        key_id = key_place(number % world.keys).key_id
        request = EncryptRequest(key_id=key_id, plaintext=b"x", encryption_context=tenant(grant))
        call = (context, list(locate(context, request)), request)
        authorize(*call)
        prepared.append(call)
    return prepared


def cost(prepared: list[Call], decide: Callable[[Context, list[Target], EncryptRequest], None]) -> float:
    """Return CPU microseconds for one decision."""
    chosen = prepared[:: max(len(prepared) // PREPARED, 1)][:PREPARED]
    start = time.process_time()
    for _ in range(CALLS // PREPARED):
        for call in chosen:
            decide(*call)
    return (time.process_time() - start) * 1e6 / CALLS


def main() -> None:
    print(f"{machine()}; {ROUNDS} interleaved rounds of {CALLS} decisions, medians; {sys.executable}\n")
    worlds = [world for sizes in QUESTIONS.values() for world in sizes]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as opened:
        prepared = {}
        for number, world in enumerate(worlds):
            settings = Settings(data=str(Path(scratch) / str(number)), regions=(REGION,))
            deployment = opened.enter_context(Deployment(settings, SystemClock(), system_entropy))
            fill(deployment, world)
            prepared[world] = calls(deployment, world)
        results: dict[World, list[float]] = {world: [] for world in prepared}
        for _ in range(ROUNDS):
            for world, each in prepared.items():
                results[world].append(cost(each, authorize))
    print("| As these grow | there are | µs a decision | of the first |\n|---|---|---|---|")
    for question, sizes in QUESTIONS.items():
        first = statistics.median(results[sizes[0]])
        for world in sizes:
            found = statistics.median(results[world])
            size = max(world.keys, world.users, world.grants)
            print(f"| {question} | {size:,} | {found:.1f} | {found / first:.2f} |")


if __name__ == "__main__":
    main()
