"""Ciphertexts in objects, in moto's S3 over its HTTP server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from small_kms import refusal
from strongroom.aws_clients import AwsError, AwsPlace
from strongroom.reencryption.items import ItemError, PlaceError
from strongroom.reencryption.objects import Objects

BUCKET = "secrets"
EXPIRY = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    client: Any = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://{}:{}".format(*server.get_host_and_port()),
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()
    server.stop()


def objects(s3: Any, prefix: str, bucket: str = BUCKET) -> Objects:
    return Objects(s3, AwsPlace(endpoint=s3.meta.endpoint_url), bucket, prefix)


def put(s3: Any, key: str, body: bytes, **more: object) -> None:
    kept = {"Metadata": {"owner": "a"}, "ContentType": "text/plain", "Tagging": "team=a%20b"}
    s3.put_object(Bucket=BUCKET, Key=key, Body=body, **kept, **more)


def test_the_objects_below_a_prefix(s3: Any) -> None:
    for key in ("list/b", "list/a", "other/c"):
        put(s3, key, key.encode())
    assert [(item.key, item.read()) for item in objects(s3, "list/").items()] == [
        ("list/a", b"list/a"),
        ("list/b", b"list/b"),
    ]
    with pytest.raises(PlaceError, match=r"s3://missing/ of http.* cannot be read: .* answers NoSuchBucket"):
        list(objects(s3, "", "missing").items())


def test_a_new_object_keeps_metadata_and_tags(s3: Any) -> None:
    put(s3, "kept/a", b"old", Expires=EXPIRY, WebsiteRedirectLocation="/b")
    (item,) = objects(s3, "kept/").items()
    item.replace(item.read(), b"new")
    assert item.read() == b"new"
    found = s3.get_object(Bucket=BUCKET, Key="kept/a")
    assert (found["Metadata"], found["ContentType"]) == ({"owner": "a"}, "text/plain")
    assert (found["Expires"], found["WebsiteRedirectLocation"]) == (EXPIRY, "/b")
    tags = s3.get_object_tagging(Bucket=BUCKET, Key="kept/a")["TagSet"]
    assert tags == [{"Key": "team", "Value": "a b"}]


def test_an_object_that_is_changed_meanwhile_stays(s3: Any) -> None:
    put(s3, "changed/a", b"old")
    (item,) = objects(s3, "changed/").items()
    old = item.read()
    put(s3, "changed/a", b"of another process")
    with pytest.raises(ItemError, match="it was changed meanwhile"):
        item.replace(old, b"new")
    assert item.read() == b"of another process"


def test_a_refusal_of_all_objects_ends_the_run(s3: Any) -> None:
    put(s3, "expired/a", b"x")
    (item,) = objects(s3, "expired/").items()

    def refuse(**_: object) -> None:
        raise refusal("ExpiredToken", "GetObject")

    s3.meta.events.register_first("before-call.s3.GetObject", refuse, unique_id="refuse")
    try:
        with pytest.raises(AwsError, match="answers ExpiredToken"):
            item.read()
    finally:
        s3.meta.events.unregister("before-call.s3.GetObject", unique_id="refuse")


def test_an_object_that_is_no_ciphertext(s3: Any) -> None:
    put(s3, "large/a", b"x" * 20_000)
    (item,) = objects(s3, "large/").items()
    with pytest.raises(ItemError, match="so it is no ciphertext blob"):
        item.read()
    s3.delete_object(Bucket=BUCKET, Key="large/a")
    with pytest.raises(ItemError, match="answers NoSuchKey"):
        item.read()
