"""A simulator of a hardware token or a key behind a network: one key's cryptography takes as long as a test wants."""

import threading

from msgspec.structs import replace

from local_deployment import LocalDeployment
from strongroom.keys.arns import KeyLocator
from strongroom.snapshot.active_key import ActiveKey, LoadedMaterial

PATIENCE = 120.0


class SlowKey:
    """A symmetric backing key whose every use waits until ``released`` is set."""

    def __init__(self, loaded: LoadedMaterial) -> None:
        self._key = loaded.backing_key
        self.released = threading.Event()
        self.threads: list[str] = []
        """The names of the threads that used it, in order."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        self._wait()
        return self._key.encrypt(plaintext, associated_data)

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        self._wait()
        return self._key.decrypt(body, associated_data)

    def _wait(self) -> None:
        self.threads.append(threading.current_thread().name)
        assert self.released.wait(PATIENCE)


def active_key(local: LocalDeployment, key_id: str, region: str = "us-east-1") -> ActiveKey:
    """Return a key as the snapshot holds it."""
    snapshot = local.deployment.backends.snapshot
    # Or the next call would find that the key has just been made, and read it anew.
    snapshot.refresh()
    active = snapshot.key(KeyLocator("000000000000", region, key_id), may_wait=True)
    assert active is not None
    return active


def make_slow(local: LocalDeployment, key_id: str) -> SlowKey:
    """Have a symmetric key behave as if its material were in a slow token; return the handle of that."""
    active = active_key(local, key_id)
    loaded = active.current()
    slow = SlowKey(loaded)
    active._loaded_current = replace(loaded, backing_key=slow)
    active.blocks = True
    return slow
