"""The Prometheus rules and the Grafana dashboard in ``deploy/monitoring``, as Prometheus's own tool reads them.

That each metric of the document is in ``/metrics``, and the other way round, is in ``unit/telemetry/test_metrics.py``.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_server import running_server
from programs import program
from scrapes import scrape

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
RULES = FOLDER / "strongroom-rules.yaml"
TESTS = FOLDER / "strongroom-rules-tests.yaml"
DASHBOARD = FOLDER / "strongroom-dashboard.json"
OF_PYTHON = re.compile(r"\bprocess_\w+")
OF_OTHER_SETTINGS = tuple(
    f"strongroom_{subject}" for subject in ("audit_ship", "events", "lease", "nodes", "settle", "tls", "xks")
)
"""Metrics that a server has with TLS, PostgreSQL or destinations alone."""
OURS = re.compile(r"\bstrongroom_\w+")


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [program("promtool", "prometheus"), *arguments], capture_output=True, text=True, check=False, cwd=FOLDER
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def queries() -> Iterator[str]:
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"]


def names(text: str) -> set[str]:
    """Return the metrics that are named, as the document names them: a histogram without its suffix."""
    return {re.sub(r"_seconds_bucket$", "_seconds", name) for name in OURS.findall(text)}


def documented() -> set[str]:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(strongroom_\w+)`", page, re.MULTILINE))


def test_prometheus_loads_the_rules_and_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "rules found" in promtool("check", "rules", RULES.name)
    promtool("test", "rules", TESTS.name)
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8")))
    tests = TESTS.read_text(encoding="utf-8")
    assert len(alerts) > 20
    assert set(re.findall(r"- name: (\w+) fires$", tests, re.MULTILINE)) == alerts
    assert set(re.findall(r"- name: (\w+) does not fire$", tests, re.MULTILINE)) == alerts
    # A test that expects nothing could not fail.
    assert tests.count("exp_labels:") == len(alerts)


def test_prometheus_parses_each_query_of_the_dashboard(tmp_path: Path) -> None:
    found = [query.replace("$__rate_interval", "5m").replace("$node", ".*") for query in queries()]
    assert len(found) > 30
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(found)]
    # JSON is YAML.
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(found)} rules found" in promtool("check", "rules", str(file))
    assert "$" not in "".join(found)


def test_rules_and_dashboard_name_metrics_that_there_are(tmp_path: Path) -> None:
    everything = RULES.read_text(encoding="utf-8") + "\n".join(queries())
    expressions = re.sub(r"alert: \w+", "", everything)
    assert names(expressions) <= documented()
    with running_server(tmp_path / "data", tmp_path / "log", "--metrics-listen", "127.0.0.1:0") as server:
        shown = scrape(server)
    of_python = set(OF_PYTHON.findall(expressions))
    assert of_python
    samples = {sample.name for family in shown.families.values() for sample in family.samples}
    assert of_python <= samples
    shown_names = {f"{each.name}_total" if each.type == "counter" else each.name for each in shown.families.values()}
    missing = names(expressions) - shown_names
    assert {name for name in missing if not name.startswith(OF_OTHER_SETTINGS)} == set()


def test_the_panels_of_the_dashboard_do_not_overlap_and_have_what_a_reader_needs() -> None:
    taken = set[tuple[int, int]]()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
        assert panel["type"] == "row" or (panel["description"] and panel["targets"])
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
