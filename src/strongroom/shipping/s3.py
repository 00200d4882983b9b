"""Ships to object storage that speaks the protocol of Amazon S3, by way of botocore.

A complete segment is one object of its name. Of the segment that is written, parts are objects under ``open/``, each
named after the segment and the offset of its first byte; together they are what has been shipped of it. A part that is
shipped again has the same name and begins with the same bytes. Nothing is deleted, and nothing is read: credentials
need no more than ``s3:PutObject`` (and ``s3:PutObjectRetention`` with a retention). A rule of the bucket can let
``open/`` expire. What the machine has lost after it was shipped stays, and is set aside when the log is fetched.
"""

import logging
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import IO, Any

import msgspec

from strongroom.clock import DAY
from strongroom.shipping.destination import DestinationError
from strongroom.store.audit.segment_source import Piece
from strongroom.whole_files import open_regular

OPEN = "open/"
"""What the names of parts begin with, after the prefix."""
MISSING = "object storage needs the AWS client library: pip install 'strongroom[s3]'"

_CONNECT_TIMEOUT, _READ_TIMEOUT, _ATTEMPTS = 5, 30, 2
_CHUNK = 1 << 20


class Bucket(msgspec.Struct, frozen=True):
    """Where objects are: the bucket, the prefix of their names, and how to reach the storage."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    ca: str | None = None
    cert: tuple[str, str] | None = None

    @property
    def place(self) -> str:
        """The address of the bucket for people."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def part_name(prefix: str, segment: str, offset: int) -> str:
    """Return the name of the object with the part of a segment from an offset on. Names sort by offset."""
    return f"{prefix}{OPEN}{segment}/{offset:016}"


class S3Destination:
    """One bucket. ``now`` returns epoch seconds; ``retain_days`` is 0 for objects without retention."""

    takes_whole_segments = True

    def __init__(self, bucket: Bucket, retain_days: int, now: Callable[[], float]) -> None:
        self._bucket = bucket
        self._retain_days = retain_days
        self._now = now
        self._client: Any = None

    def prepare(self, *, shipped_before: bool) -> None:  # noqa: ARG002 - a bucket is not another one unseen
        """Make the client; raises DestinationError if the library is missing or cannot be set up."""
        if self._client is None:
            self._client = client_of(self._bucket)

    def take(self, piece: Piece) -> None:
        """Store a part or, if it is complete, the whole segment; raises DestinationError."""
        if piece.after.complete:
            try:
                with open_regular(piece.path) as file:
                    digest = _digest_of(file)
                    file.seek(0)
                    self._put(self._bucket.prefix + piece.segment, file, digest)
            except OSError as error:
                raise DestinationError(f"`{piece.path}` cannot be read: {error.strerror or error}") from None
            return
        name = part_name(self._bucket.prefix, piece.segment, piece.offset)
        self._put(name, piece.data, sha256(piece.data).digest())

    def size_of(self, segment: str) -> int | None:  # noqa: ARG002 - nothing is read
        """Return None: what is there is not read."""
        return None

    def cut(self, segment: str, size: int) -> None:
        """Do nothing: the complete object will be what the node has, and the parts stay as they are."""

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _put(self, name: str, body: bytes | IO[bytes], digest: bytes) -> None:
        # The storage compares the digest with what it has got, and a retention demands one.
        members: dict[str, object] = {"ChecksumSHA256": b64encode(digest).decode()}
        if self._retain_days:
            until = datetime.fromtimestamp(int(self._now() + self._retain_days * DAY), UTC)
            members |= {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
            members |= {"ChecksumAlgorithm": "SHA256"}
        call(
            self._bucket,
            lambda: self._client.put_object(
                Bucket=self._bucket.name, Key=name, Body=body, ContentType="application/jsonl", **members
            ),
        )


def client_of(bucket: Bucket) -> Any:  # noqa: ANN401 - its methods are made from a description
    """Return a client for a bucket; raises DestinationError."""
    try:
        import botocore.config  # noqa: PLC0415 - an extra that need not be there
        import botocore.exceptions  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
    except ModuleNotFoundError:
        raise DestinationError(MISSING) from None
    # On lower levels the library logs what it sends, its signatures included.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        config = botocore.config.Config(
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            retries={"total_max_attempts": _ATTEMPTS},
            client_cert=bucket.cert,
            # The SHA-256 that is given with each object does for both. Other storages do not know all of AWS's.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Names of buckets are not in the certificates of most other storages.
            s3={"addressing_style": "path"} if bucket.endpoint else {},
            # The endpoint of the settings is the one that counts.
            ignore_configured_endpoint_urls=True,  # type: ignore[call-arg] # its types do not have it
        )
        return botocore.session.get_session().create_client(
            "s3", region_name=bucket.region, endpoint_url=bucket.endpoint, verify=bucket.ca, config=config
        )
    except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
        raise DestinationError(f"{bucket.place} cannot be used: {error}") from None


def call(bucket: Bucket, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the client returns
    """Call the storage; raises DestinationError with what an operator can make of its refusal."""
    import botocore.exceptions  # noqa: PLC0415 - an extra, which the client has found

    try:
        return act()
    except botocore.exceptions.ClientError as error:
        found = error.response.get("Error", {})
        code, message = found.get("Code", ""), found.get("Message", "")
        raise DestinationError(f"{bucket.place} answers {code}: {message}".rstrip(": ")) from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
        raise DestinationError(
            f"there are no credentials for {bucket.place}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, for the server"
        ) from None
    except RuntimeError as error:
        # What the library raises where it gets credentials that have expired already.
        raise DestinationError(f"the credentials for {bucket.place} are not usable: {error}") from None
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as error:
        raise DestinationError(f"{bucket.place} does not answer: {error}") from None
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        raise DestinationError(f"{bucket.place} cannot be used: {error}") from None


def _digest_of(file: IO[bytes]) -> bytes:
    digest = sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()
