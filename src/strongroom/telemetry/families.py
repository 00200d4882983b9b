"""Metric families of Prometheus, made from the values of counters and gauges.

A sample is named by the values of its labels, in their order.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from strongroom import __version__
from strongroom.histogram import Histogram

K = TypeVar("K", bound=tuple[str, ...])
"""The values of a sample's labels."""


class ProcessMetrics:
    """What is measured of any process: its version, its memory and processor time, its garbage collector."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def collect(self) -> list[Metric]:
        """Return the families."""
        version = gauge("strongroom_build_info", "The version that runs.", {(__version__,): 1}, ["version"])
        return [version, *self._registry.collect()]


def labelled(families: list[Metric], worker: str, node: str) -> list[Metric]:
    """Return families, each sample with the names of its process and its node."""
    origin = {"worker": worker, "node": node}
    for family in families:
        family.samples = [each._replace(labels={**each.labels, **origin}) for each in family.samples]
    return families


def counter(name: str, about: str, values: Mapping[K, float], labels: Iterable[str] = ()) -> Metric:
    """Return a counter family. ``name`` is without ``_total``."""
    return _with_samples(CounterMetricFamily(name, about, labels=list(labels)), values)


def gauge(name: str, about: str, values: Mapping[K, float], labels: Iterable[str] = ()) -> Metric:
    """Return a gauge family."""
    return _with_samples(GaugeMetricFamily(name, about, labels=list(labels)), values)


def _with_samples(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[K, float]) -> Metric:
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family


def histogram(name: str, about: str, values: Mapping[K, Histogram], labels: Iterable[str] = ()) -> Metric:
    """Return a histogram family, of durations in seconds."""
    family = HistogramMetricFamily(name, about, labels=list(labels))
    for key, measured in values.items():
        bounds = [*map(floatToGoString, measured.bounds), "+Inf"]
        family.add_metric(key, list(zip(bounds, accumulate(measured.counts), strict=True)), measured.total)
    return family
