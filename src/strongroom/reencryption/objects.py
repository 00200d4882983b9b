"""Ciphertexts in objects of a bucket, in Amazon S3 or what speaks its protocol: one in each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from strongroom.aws_clients import AwsError, AwsPlace, readable_refusals
from strongroom.reencryption.items import MAX_ENCODED, ItemError, PlaceError

_KEPT = (
    *("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata"),
    *("StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "Expires", "WebsiteRedirectLocation"),
)
"""What a new object takes over from the old one. A lock or an ACL is for the bucket to give."""
_CHANGED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})
_OF_ALL_OBJECTS = frozenset(
    {
        "ExpiredToken",
        "InvalidToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "NoSuchBucket",
    }
)
"""The refusals that any other object would get too. So it is if there is no answer."""


class ObjectItem:
    """A ciphertext that is the whole content of an object."""

    def __init__(self, client: Any, place: AwsPlace, bucket: str, key: str) -> None:  # noqa: ANN401 - botocore's
        self._client = client
        self._place = place
        self._address = {"Bucket": bucket, "Key": key}
        self.key = key
        self._found: dict[str, Any] = {}

    def read(self) -> bytes:
        """Return the content; raises ItemError."""
        with _readable(self._place):
            self._found = self._client.get_object(**self._address)
            with self._found["Body"] as body:
                content: bytes = body.read(MAX_ENCODED + 1)
        if len(content) > MAX_ENCODED:
            raise ItemError(f"it has more than {MAX_ENCODED} bytes, so it is no ciphertext blob")
        return content

    def replace(self, old: bytes, new: bytes) -> None:  # noqa: ARG002 - the entity tag stands for the old content
        """Put a new object in the place of the one that was read last, with its metadata and tags; raises ItemError."""
        kept = {name: self._found[name] for name in _KEPT if self._found.get(name)}
        with _readable(self._place):
            if tags := self._client.get_object_tagging(**self._address)["TagSet"]:
                kept["Tagging"] = _query(tags)
            self._client.put_object(**self._address, **kept, Body=new, IfMatch=self._found["ETag"])


class Objects:
    """The objects of a bucket whose keys begin with a prefix."""

    def __init__(self, client: Any, place: AwsPlace, bucket: str, prefix: str) -> None:  # noqa: ANN401 - botocore's
        self._client = client
        self._place = place
        self._bucket = bucket
        self._prefix = prefix
        self.name = f"s3://{bucket}/{prefix}" if place.endpoint is None else f"s3://{bucket}/{prefix} of {place.name}"

    def items(self) -> Iterator[ObjectItem]:
        """Return the objects by their keys, page by page; raises PlaceError."""
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix))
        while (page := self._next(pages)) is not None:
            for found in page.get("Contents", ()):
                yield ObjectItem(self._client, self._place, self._bucket, found["Key"])

    def _next(self, pages: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
        try:
            with readable_refusals(self._place):
                return next(pages, None)
        except AwsError as error:
            raise PlaceError(f"{self.name} cannot be read: {error}") from None


@contextmanager
def _readable(place: AwsPlace) -> Iterator[None]:
    try:
        with readable_refusals(place):
            yield
    except AwsError as error:
        if error.code in _CHANGED:
            raise ItemError("it was changed meanwhile") from None
        if not error.code or error.code in _OF_ALL_OBJECTS:
            raise
        raise ItemError(str(error)) from None


def _query(tags: Sequence[dict[str, str]]) -> str:
    """Return tags as the header of PutObject has them."""
    return urlencode([(tag["Key"], tag["Value"]) for tag in tags])
