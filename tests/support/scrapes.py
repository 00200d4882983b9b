"""Scrapes metrics as Prometheus does, and parses them."""

import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from local_server import RunningServer

PATIENCE = 120


class ScrapedMetrics:
    """The metrics of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {each.name: each for each in text_string_to_metric_families(text)}

    def samples(self, name: str, **labels: str) -> Iterator[Sample]:
        """Yield the samples with this name and these labels."""
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    yield sample

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with this name and these labels."""
        return sum(sample.value for sample in self.samples(name, **labels))

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values that a label has on the samples with this name."""
        return {sample.labels[label] for sample in self.samples(name)}


def url_of(server: RunningServer) -> str:
    return server.environment["STRONGROOM_METRICS"]


def scrape(server: RunningServer) -> ScrapedMetrics:
    with urllib.request.urlopen(url_of(server), timeout=PATIENCE) as answer:  # noqa: S310 - loopback, over HTTP
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return ScrapedMetrics(answer.read().decode())


def scrape_until(server: RunningServer, holds: Callable[[ScrapedMetrics], bool]) -> ScrapedMetrics:
    """Scrape until a condition holds. One scrape is not enough: close scrapes get the same cached response."""
    end = time.monotonic() + PATIENCE
    while not holds(scraped := scrape(server)):
        assert time.monotonic() < end, scraped.text
        time.sleep(0.1)
    return scraped


def names_of(families: Iterable[Metric]) -> set[str]:
    return {family.name for family in families}
