"""Scrapes as Prometheus makes them, and what they show."""

import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from local_server import RunningServer

PATIENCE = 20


class Shown:
    """What one scrape shows."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {each.name: each for each in text_string_to_metric_families(text)}

    def samples(self, name: str, **labels: str) -> Iterator[Sample]:
        """Yield the samples of a name that have these labels."""
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    yield sample

    def sum(self, name: str, **labels: str) -> float:
        """Add up the samples of a name that have these labels."""
        return sum(sample.value for sample in self.samples(name, **labels))

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values of a label on the samples of a name."""
        return {sample.labels[label] for sample in self.samples(name)}


def url_of(server: RunningServer) -> str:
    return server.environment["STRONGROOM_METRICS"]


def scrape(server: RunningServer) -> Shown:
    with urllib.request.urlopen(url_of(server), timeout=PATIENCE) as answer:  # noqa: S310 - loopback, over HTTP
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Shown(answer.read().decode())


def scrape_until(server: RunningServer, holds: Callable[[Shown], bool]) -> Shown:
    """Scrape until something shows: scrapes that are close to each other share an answer."""
    end = time.monotonic() + PATIENCE
    while not holds(shown := scrape(server)):
        assert time.monotonic() < end, shown.text
        time.sleep(0.1)
    return shown


def names_of(families: Iterable[Metric]) -> set[str]:
    return {family.name for family in families}
