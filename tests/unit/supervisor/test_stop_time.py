"""How long a stop takes at most, which units and charts must allow for."""

from strongroom.supervisor.supervisor import longest_stop, stop_by


def test_the_stages_share_the_time_and_each_has_a_little() -> None:
    workers = stop_by(100.0, 100.0, 30.0)
    agent = stop_by(100.0, workers, 30.0)
    last = stop_by(100.0, agent, 30.0)
    assert (workers, agent, last) == (140.0, 145.0, 150.0)
    assert last - 100.0 == longest_stop(30.0)
    # Where the workers are fast, those that ship and send have all the time.
    assert stop_by(100.0, 101.0, 30.0) == 140.0
