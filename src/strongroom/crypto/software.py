"""The default vault: key material generated and used in this process, kept in the store wrapped by domain keys."""

from strongroom.crypto.aes import AesBackingKey
from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.protocol import BackingKey, MaterialBinding
from strongroom.entropy import Entropy

IAM_SCOPE = "iam"
"""The domain key scope of access key secrets."""


class SoftwareVault:
    """Makes and loads backing keys with the domain keys of this process."""

    def __init__(self, domain_keys: DomainKeys, entropy: Entropy) -> None:
        self._domain_keys = domain_keys
        self._entropy = entropy

    def generate(self, owner: MaterialBinding) -> bytes:
        """Make new key material and return it wrapped."""
        return self._domain_keys.wrap(owner.region, self._entropy(KEY_LENGTH), _fields(owner))

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Unwrap key material; raises UnsealError if the token was not made for ``owner``."""
        return AesBackingKey(self._domain_keys.unwrap(owner.region, token, _fields(owner)), self._entropy)

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Do nothing: a wrapped key exists only in its token, which the store erases."""

    def wrap_secret(self, secret: bytes, bound_to: bytes) -> bytes:
        """Return a small secret wrapped under the ``iam`` domain key."""
        return self._domain_keys.wrap(IAM_SCOPE, secret, bound_to)

    def unwrap_secret(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return the secret; raises UnsealError if it was not wrapped here for ``bound_to``."""
        return self._domain_keys.unwrap(IAM_SCOPE, wrapped, bound_to)

    def random(self, length: int) -> bytes:
        """Return ``length`` bytes from the operating system's generator."""
        return self._entropy(length)


def _fields(bound_to: MaterialBinding) -> bytes:
    return binding(
        "key-material", bound_to.account, bound_to.region, bound_to.key_id, bound_to.material_id, bound_to.spec
    )
