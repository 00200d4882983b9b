"""The token bucket: a burst up to its capacity, then its rate."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.token_bucket import TokenBucket

NOW = 1_790_000_000.0


def taken(bucket: TokenBucket, now: float) -> int:
    """Take what there is; return how much that was."""
    count = 0
    while bucket.take(now):
        count += 1
    return count


def test_it_is_full_at_first_and_fills_at_its_rate() -> None:
    bucket = TokenBucket(rate=20, capacity=1000, now=NOW)
    assert taken(bucket, NOW) == 1000
    assert taken(bucket, NOW + 0.5) == 10
    assert taken(bucket, NOW + 0.52) == 0
    assert taken(bucket, NOW + 10_000) == 1000


def test_what_a_request_costs_beyond_what_is_left_is_paid_back_first() -> None:
    bucket = TokenBucket(rate=1, capacity=3, now=NOW)
    assert bucket.take(NOW, cost=5)
    assert bucket.level(NOW) == -2
    assert not bucket.take(NOW + 2.9)
    assert bucket.take(NOW + 3)


def test_less_than_one_token_lets_nothing_through() -> None:
    bucket = TokenBucket(rate=0.5, capacity=1, now=NOW)
    assert [bucket.take(NOW + second) for second in range(5)] == [True, False, True, False, True]


def test_an_earlier_time_adds_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(rate=10, capacity=10, now=NOW)
    assert taken(bucket, NOW) == 10
    assert taken(bucket, NOW - 100) == 0
    assert taken(bucket, NOW + 0.5) == 5
    # Requests that are counted late, out of order, gain no token twice.
    assert [taken(bucket, NOW + at) for at in (0.2, 0.5, 0.2, 0.5)] == [0, 0, 0, 0]


def test_a_clock_that_was_set_back_stops_nobody() -> None:
    bucket = TokenBucket(rate=10, capacity=10, now=NOW)
    assert taken(bucket, NOW) == 10
    assert [taken(bucket, NOW - 3600 + at) for at in (0, 0.5, 60)] == [0, 5, 10]


@given(
    rate=st.integers(1, 50),
    capacity=st.integers(1, 50),
    requests=st.lists(st.tuples(st.integers(-2, 5), st.integers(1, 4)), max_size=60),
)
def test_no_sequence_of_requests_gets_more_than_burst_and_rate(
    rate: int, capacity: int, requests: list[tuple[int, int]]
) -> None:
    bucket = TokenBucket(rate, capacity, now=0.0)
    now = latest = spent = last = 0
    for step, cost in requests:
        now = max(0, now + step)
        latest = max(latest, now)
        if bucket.take(float(now), cost):
            spent += cost
            last = cost
    # The last request that was let through may have cost more than was left.
    assert spent - last < capacity + rate * latest
