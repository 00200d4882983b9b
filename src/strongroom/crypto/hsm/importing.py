"""One import of key material into a token: unwrapped, examined, identified and wrapped again, all in one session."""

from collections.abc import Collection, Mapping, Sequence

from strongroom.crypto.hsm.imported_keys import (
    id_of_private_key,
    id_of_secret,
    length_of,
    public_key_of,
    template_for,
)
from strongroom.crypto.hsm.key_kind import KeyKind, NewObject
from strongroom.crypto.hsm.wrapped_keys import KeyNotKeptError, WrappedKey, wrap_key
from strongroom.crypto.hsm.wrapping_pairs import Sent, held
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.software.imported_material import incorrect_material, secret_lengths
from strongroom.errors import InvalidCiphertextException
from strongroom.keys.specs import KeySpec


class Importing:
    """Imports what was encrypted for wrapping key pairs, to be kept as keys of the kinds that it is given."""

    def __init__(self, kinds: Mapping[KeySpec, KeyKind]) -> None:
        self.kinds = kinds

    def run(
        self, session: TokenSession, sent: Sent, spec: KeySpec, names: Sequence[str], known_ids: Collection[str]
    ) -> tuple[str, WrappedKey]:
        """Return the id of what was sent for a KMS key of these ``names``, and the key, wrapped.

        Raises CryptokiError, and as ``KeyBackend.import_material``, which has ``known_ids``.
        """
        calls, kind = session.calls, self.kinds[spec]
        template = template_for(kind, spec)
        with held(calls, _unwrapped(sent, spec, template)) as handle:
            if calls.attribute(handle, c.CKA_SENSITIVE) != c.TRUE:
                raise KeyNotKeptError("The hardware security module unwraps key material that can be read.")
            lengths = secret_lengths(spec)
            if lengths is None:
                with sent.pair.blaming_the_data(incorrect_material(spec)):
                    public_key = public_key_of(calls, kind, spec, handle)
                material_id: str | None = id_of_private_key(public_key, sent, names, known_ids)
            else:
                public_key = b""
                length = length_of(calls, sent.under, template, handle)
                if length is not None and length not in lengths:
                    raise incorrect_material(spec)
                material_id = None if length is None else id_of_secret(calls, handle, names, known_ids)
            if material_id is None:
                raise KeyNotKeptError("The hardware security module does not tell enough of key material to check it.")
            return material_id, wrap_key(session, sent.under.handle, kind, NewObject(handle, public_key))


def _unwrapped(sent: Sent, spec: KeySpec, template: Attributes) -> int:
    """Unwrap material into a session object; raises as ``Importing.run``."""
    with sent.pair.blaming_the_data(InvalidCiphertextException()):
        try:
            return sent.unwrap(template)
        except CryptokiError:
            # A private key of another kind does not unwrap either, although the ciphertext is valid.
            if secret_lengths(spec) is None and sent.is_valid():
                raise incorrect_material(spec) from None
            raise
