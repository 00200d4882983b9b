"""Checks every record of a data folder, whether a server has it open or not."""

from collections.abc import Callable, Iterator

from strongroom.assembly.databases.database import Database
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.seal import UnsealError
from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Readable
from strongroom.store.quarantine import Finding, Quarantine


def check_records(
    store: Readable,
    key_backends: KeyBackends,
    progress: Callable[[int], object] = lambda _keys: None,
    opens_in: Callable[[str], bool] = lambda _region: True,
) -> Iterator[Finding]:
    """Yield each record that is not as the service wrote it, and each key material that does not unwrap.

    Material is unwrapped in the Regions of which ``opens_in`` tells that their domain keys are open.
    All of it is of one state of the database. Nothing is written or logged. ``progress`` is called
    with the number of keys that were checked since it was called last.
    """
    newest = ""

    def opens(key: KmsKey, material: KeyMaterial) -> bool:
        nonlocal newest
        if key.arn != newest:
            newest = key.arn
            progress(1)
        if material.token is None or not opens_in(key.region):
            return True
        try:
            key_backends.of(key).load(material.token, binding_of(key, material.material_id))
        except UnsealError:
            return False
        return True

    with store.read() as reader:
        yield from reader.findings(opens)


def quarantine_damaged(database: Database, store: Readable, quarantine: Quarantine) -> None:
    """Quarantine every record of a small database that is not as the service wrote it, also those that nothing reads.

    A row that was moved is not found where it belongs, so no call meets it. Key material is not unwrapped.
    """
    if not database.is_small():
        return
    with store.read() as reader:
        for finding in reader.findings(lambda _key, _material: True):
            quarantine.add(finding)
