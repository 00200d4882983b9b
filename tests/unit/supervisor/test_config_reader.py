"""What a worker reads of the lines that its supervisor sends."""

import os

import msgspec

from strongroom.settings import Settings
from strongroom.supervisor.config_reader import ConfigReader
from strongroom.supervisor.process_slot import ProcessConfig


def line(drain: float) -> bytes:
    return msgspec.json.encode(ProcessConfig(Settings(drain=drain), 1, 100)) + b"\n"


def test_lines_arrive_in_parts_and_the_last_whole_one_counts() -> None:
    reading, writing = os.pipe()
    reader = ConfigReader(reading)
    os.write(writing, line(1)[:10])
    assert reader.next() is None
    os.write(writing, line(1)[10:] + line(2) + line(3)[:20])
    found = reader.next()
    assert found is not None
    assert found.settings.drain == 2
    os.write(writing, line(3)[20:])
    found = reader.first()
    assert found is not None
    assert found.settings.drain == 3
    os.close(writing)
    assert reader.first() is None
    assert reader.ended
    os.close(reading)
