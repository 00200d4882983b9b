"""The tables that benchmarks print: medians of rounds, in Markdown."""

from collections.abc import Iterable
from statistics import median

from measure import Load

MEGABYTE = 1 << 20


def print_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table, and an empty line below it."""
    titles = list(head)
    print(_line(titles))
    print("|---" * len(titles) + "|")
    for row in rows:
        print(_line(row))
    print(flush=True)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def ratio(figure: str, loads: list[Load], others: list[Load]) -> float:
    """Return the median of the rounds' own ratios, which other load on the machine affects least."""
    return float(median(getattr(a, figure) / getattr(b, figure) for a, b in zip(loads, others, strict=True)))


HEAD = ("Call", "CPU µs", "of hello-world", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "memory MB", "errors")


def row(name: str, loads: list[Load], floor: list[Load]) -> list[str]:
    """Return the medians of the rounds of one call; memory is the maximum."""
    rate, p50, p99, p999 = (
        median(getattr(each, figure) for each in loads) for figure in ("per_second", "p50", "p99", "p999")
    )
    return [
        name,
        f"{median(each.cpu_each for each in loads):.1f}",
        f"{ratio('cpu_each', loads, floor):.1f}",
        f"{rate:,.0f}",
        *(f"{each / 1000:.1f}" for each in (p50, p99, p999)),
        f"{max(each.memory for each in loads) / MEGABYTE:.0f}",
        str(sum(each.errors for each in loads)),
    ]
