"""Key back ends: where the key material of KMS keys is made, kept and used."""

from collections.abc import Collection
from typing import Protocol

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.material import ImportedMaterial, MaterialBinding, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec


class KeyBackend(Protocol):
    """Makes, loads and destroys key material. Safe to use from several threads.

    No method may be called while a database transaction is open, because it may wait for hardware or a network. If
    ``blocks`` is true, none may be called on the event loop's thread either. While that does not answer, the methods
    raise KeyUnavailableException, KMSInternalException or DependencyTimeoutException.
    """

    @property
    def blocks(self) -> bool:
        """Whether making or loading a key waits for a hardware security module or a network."""
        ...

    @property
    def blocks_when_loaded(self) -> bool:
        """Whether using a key that was loaded waits for it as well."""
        ...

    @property
    def keeps_material(self) -> bool:
        """Whether key material stays in the back end when its token is erased, so that ``destroy`` has to be called."""
        ...

    def require_spec(self, spec: KeySpec, usage: KeyUsage, region: str) -> None:
        """Refuse keys of a Region that the back end cannot make or use, before one is made.

        What is refused depends on the usage too: a token may sign with an RSA key, and not have the algorithms by which
        it decrypts. Raises UnsupportedOperationException, which names what is refused.
        """
        ...

    def token_for(self, owner: MaterialBinding) -> bytes | None:
        """Return the token that ``generate`` will return for ``owner``; None if only making the material tells it.

        A back end that keeps material knows it, so that what is made can be noted before. It is called nowhere else,
        and waits for nothing.
        """
        ...

    def generate(self, owner: MaterialBinding) -> bytes:
        """Make new key material and return its token; raises LookupError for a spec that the back end does not have."""
        ...

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Return the key that a token stands for; raises UnsealError if the token was not made for ``owner``."""
        ...

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Destroy the material that a token stands for; do nothing if it does not exist any more.

        Several processes may do so at the same time.

        A back end whose tokens contain the material does nothing here: erasing the token from the store is enough.
        """
        ...

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        """Return a token for the same material of a multi-Region key in another Region.

        Raises UnsealError if the token was not made for ``owner``, or if the key is not a multi-Region key: the
        material of a single-Region key never leaves its Region.
        """
        ...

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Return a token for the same material that needs only the newest domain key of its Region.

        Raises UnsealError if the token was not made for ``owner``.
        """
        ...

    def wrapping_key(self, spec: WrappingKeySpec, algorithm: WrappingAlgorithm, owner: MaterialOwner) -> WrappingKey:
        """Make a key pair under which the material of one key can be imported.

        The back end keeps nothing of it: the token contains the private key, wrapped.
        Raises UnsupportedOperationException if it cannot import material of the owner's spec by ``algorithm``.
        """
        ...

    def import_material(
        self, wrapped: WrappedMaterial, owner: MaterialOwner, known_ids: Collection[str] = ()
    ) -> ImportedMaterial:
        """Unwrap key material, check it and keep it.

        ``known_ids`` are the ids of the material that the key has or had: the same material gets the same id again,
        wherever it was imported then (``material_ids``).
        The token is a new one, also if the key has the same material already: if the import is refused afterwards, the
        caller destroys it.
        Raises InvalidCiphertextException when it does not unwrap, IncorrectKeyMaterialException when it is not of the
        owner's spec, UnsupportedOperationException when the back end cannot keep it, and UnsealError if the wrapping
        token was not made for ``owner``.
        """
        ...
