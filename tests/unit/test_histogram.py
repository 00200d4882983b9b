from strongroom.histogram import DURATIONS, Histogram


def test_a_value_counts_below_the_first_bound_it_does_not_exceed() -> None:
    histogram = Histogram((1, 2, 4))
    for value in (0, 1, 1.5, 2, 3, 4, 5, 100):
        histogram.note(value)
    assert histogram.counts == [2, 2, 2, 2]
    assert histogram.total == 116.5


def test_the_usual_bounds_rise() -> None:
    assert sorted(set(DURATIONS)) == list(DURATIONS)
