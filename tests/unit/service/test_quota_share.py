"""The part of the request quotas that each of several nodes may use."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from strongroom.errors import DependencyTimeoutException
from strongroom.node_id import NodeId
from strongroom.service.quota_share import QuotaShare, share_of
from strongroom.service.request_quotas import OwnBuckets, RequestQuotas
from strongroom.settings import RequestQuota
from strongroom.store.records import MemberRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from strongroom.store.protocol import Readable

OWN, SECOND, THIRD = NodeId("a1b2c3d4e5f6"), NodeId("0123456789ab"), NodeId("ffffffffffff")


def member(node: NodeId, workers: int, *, is_alive: bool = True) -> MemberRecord:
    return MemberRecord(node, workers, is_alive)


@pytest.mark.parametrize(
    ("members", "share"),
    [
        ([], 1.0),
        ([member(OWN, 4)], 1.0),
        ([member(OWN, 2), member(SECOND, 2)], 0.5),
        ([member(OWN, 1), member(SECOND, 3)], 0.25),
        ([member(OWN, 1), member(SECOND, 3, is_alive=False)], 1.0),
        ([member(OWN, 2, is_alive=False), member(SECOND, 2)], 0.5),
        ([member(SECOND, 1), member(THIRD, 1)], 1 / 3),
        ([member(OWN, 0), member(SECOND, 0)], 0.5),
    ],
)
def test_a_quota_is_divided_by_the_workers_that_live(members: "Sequence[MemberRecord]", share: float) -> None:
    assert share_of(OWN, members) == share


class Members:
    """A database of which only the members can be read."""

    def __init__(self) -> None:
        self.found: list[MemberRecord] | None = None

    @contextmanager
    def read(self) -> "Iterator[Members]":
        if self.found is None:
            raise DependencyTimeoutException
        yield self

    def members(self) -> "Sequence[MemberRecord]":
        return self.found or ()


def test_the_share_follows_the_members_and_stays_while_they_cannot_be_read() -> None:
    database, quotas = Members(), RequestQuotas([RequestQuota("symmetric", 10)], ["us-east-1"])
    share = QuotaShare(quotas, cast("Readable", database), OWN)
    share.refresh()
    assert quotas.share == 1
    database.found = [member(OWN, 1), member(SECOND, 1)]
    share.refresh()
    assert quotas.share == 0.5
    database.found = None
    share.refresh()
    assert quotas.share == 0.5
    QuotaShare(None, cast("Readable", database), OWN).refresh()


def test_a_bucket_takes_on_another_rate() -> None:
    buckets, name = OwnBuckets(), ("1", "us-east-1", "symmetric")

    def taken(rate: float, now: float) -> int:
        return sum(buckets.take(name, rate, now, 1) for _ in range(20))

    assert taken(10, 0) == 10
    assert taken(10, 1) == 10
    assert taken(5, 2) == 5
    assert taken(5, 3) == 5
    # What it held stays, and it gains more from then on.
    assert taken(10, 3) == 0
    assert taken(10, 4) == 10
