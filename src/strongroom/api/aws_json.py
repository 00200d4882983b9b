"""The AWS JSON 1.1 protocol, spoken by KMS."""

import msgspec

from strongroom.api.reply import Reply
from strongroom.errors import KmsError
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.validation import MALFORMED, refusal

AWS_JSON = "application/x-amz-json-1.1"

_encoder = msgspec.json.Encoder()


class AwsJson:
    """Reads and writes AWS JSON."""

    def decode(self, operation: Operation, body: bytes) -> Request:
        """Return the request in ``body``; raises SerializationException or ValidationException."""
        # Without a call in between: this is the hot path.
        try:
            request: Request = operation.decoder.decode(body or b"{}")
        except MALFORMED as error:
            raise refusal(operation.decoder, body, error) from None
        return request

    def reply(self, result: Response | KmsError, request_id: str, operation: Operation | None = None) -> Reply:
        """Return the reply that carries an answer or a refusal: of a call, or of what names no operation."""
        if isinstance(result, KmsError):
            return Reply(result.status, _error(result), AWS_JSON, request_id, operation, self, result.code)
        body = b"" if isinstance(result, Empty) else _encoder.encode(result)
        return Reply(200, body, AWS_JSON, request_id, operation, self)


def _error(error: KmsError) -> bytes:
    """Return AWS's JSON for a refusal; without a message member where AWS gives none."""
    if error.message is None:
        return _encoder.encode({"__type": error.code})
    return _encoder.encode({"__type": error.code, "message": error.message})
