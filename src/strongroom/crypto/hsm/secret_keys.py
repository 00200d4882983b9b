"""Secret keys in a token: all are generic secrets, used for HMAC (FIPS 198-1) alone."""

from strongroom.crypto.hsm.key_kind import NewObject, UsableKey
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.token_errors import TokenFaultError

_PROBES = (b"", b"is it the same key?")


class SecretKind:
    """What kinds of secret keys have in common."""

    def __init__(self, mechanism: int, length: int) -> None:
        """Use keys with a mechanism of HMAC, and make them ``length`` bytes long."""
        self._mechanism = mechanism
        self._length = length

    def generate(self, calls: Calls) -> NewObject:
        """Have the token make a key."""
        made = {**self.template(extractable=True), c.CKA_VALUE_LEN: self._length}
        return NewObject(calls.generate_key(made, c.CKM_GENERIC_SECRET_KEY_GEN))

    def create(self, calls: Calls, material: bytes) -> NewObject:
        """Make a key of known bytes."""
        return NewObject(calls.create_object({**self.template(extractable=True), c.CKA_VALUE: material}))

    def template(self, *, extractable: bool) -> Attributes:
        """Return the attributes of a key: all uses but HMAC are refused, which tokens may allow by default."""
        return {
            c.CKA_CLASS: c.CKO_SECRET_KEY,
            c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
            c.CKA_TOKEN: False,
            c.CKA_PRIVATE: True,
            c.CKA_SENSITIVE: True,
            c.CKA_EXTRACTABLE: extractable,
            c.CKA_SIGN: True,
            **dict.fromkeys(
                (c.CKA_ENCRYPT, c.CKA_DECRYPT, c.CKA_WRAP, c.CKA_UNWRAP, c.CKA_VERIFY, c.CKA_DERIVE), False
            ),
        }

    def is_same(self, calls: Calls, first: int, second: int, _public_key: bytes) -> bool:
        """Tell whether two objects are the same key to HMAC, by the tags of two messages."""
        return all(
            calls.mac(first, probe, self._mechanism) == calls.mac(second, probe, self._mechanism) for probe in _PROBES
        )


def mac_by(key: UsableKey, message: bytes, mechanism: int) -> bytes:
    """Return the tag of a message by a key in a token; raises as ``Token.run``."""
    try:
        return key.run(lambda calls, handle: calls.mac(handle, message, mechanism))
    except CryptokiError as error:
        raise TokenFaultError(str(error)) from None
