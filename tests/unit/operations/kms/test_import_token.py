"""Import tokens: only content of the right form is read, even under our own seal."""

import msgspec
import pytest

from strongroom.crypto.binding import IMPORT_TOKEN_BINDING
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.errors import InvalidImportTokenException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.wrapping import WrappingAlgorithm
from strongroom.operations.kms import import_token
from strongroom.operations.kms.import_token import ImportToken

NOW = 1_790_000_000.0
LOCATOR = KeyLocator("111122223333", "us-east-1", "11111111-2222-3333-4444-555555555555")
TOKEN = ImportToken(LOCATOR, b"wrapping", WrappingAlgorithm.RSAES_OAEP_SHA_256, NOW + 60)


def test_a_token_is_read_again(service_secrets: ServiceSecrets) -> None:
    assert import_token.read(service_secrets, import_token.issue(service_secrets, TOKEN), LOCATOR, NOW) == TOKEN


@pytest.mark.parametrize("content", [b"", b"\xc0", msgspec.msgpack.encode(TOKEN).replace(b"us-east-1", b"\xff" * 9)])
def test_other_content_is_refused(service_secrets: ServiceSecrets, content: bytes) -> None:
    """The last is text that is no UTF-8."""
    sealed = service_secrets.wrap(content, IMPORT_TOKEN_BINDING)
    with pytest.raises(InvalidImportTokenException):
        import_token.read(service_secrets, sealed, LOCATOR, NOW)
