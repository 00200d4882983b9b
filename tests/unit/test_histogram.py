"""A histogram counts values by their upper bounds."""

from strongroom.histogram import DURATIONS, Histogram


def test_a_value_counts_in_the_interval_of_the_first_bound_it_does_not_exceed() -> None:
    histogram = Histogram((1, 2, 4))
    for value in (0, 1, 1.5, 2, 3, 4, 5, 100):
        histogram.note(value)
    assert histogram.counts == [2, 2, 2, 2]
    assert histogram.total == 116.5


def test_the_default_bounds_are_in_ascending_order() -> None:
    assert sorted(set(DURATIONS)) == list(DURATIONS)
