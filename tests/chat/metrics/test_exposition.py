"""The text format of Prometheus, held against prometheus_client's own parser."""

import math
from collections.abc import Iterator

from chat.metrics.catalogue import COUNTER, GAUGE, HISTOGRAM, METRICS, Metric
from chat.metrics.exposition import Page
from raft.metrics import Histogram
from tests.chat.metrics.pages import kinds_of, samples_of, value
from tests.support.cluster import ROOT


def test_a_sample_has_its_labels_and_any_value_that_a_float_has() -> None:
    page = Page()
    page.begin(Metric("free_bytes", GAUGE, "Room.", ("disk",)))
    values = {"a": 0, "b": 1 << 60, "c": 1.5, "d": math.inf, "e": -math.inf, "f": 1e-9, "g": True}
    for disk, number in values.items():
        page.add(number, disk)
    text = page.encode().decode()
    assert {disk: value(text, "free_bytes", disk=disk) for disk in values} == values
    page.add(math.nan, "h")
    assert math.isnan(value(page.encode().decode(), "free_bytes", disk="h"))


def test_no_value_of_a_label_breaks_the_line() -> None:
    page = Page()
    page.begin(Metric("x_total", COUNTER, "Some.", ("name",)))
    names = ['a"b', "a\\b", "a\nb", "a,b}", "é", "{", "", "a\\n", '\\"']
    for name in names:
        page.add(1, name)
    assert [dict(labels)["name"] for _, labels in samples_of(page.encode().decode())] == names


def test_the_buckets_of_a_histogram_are_cumulative_and_end_with_all() -> None:
    histogram = Histogram((0.1, 1.0))
    for duration_s in (0.05, 0.5, 0.5, 5.0):
        histogram.record(duration_s)
    page = Page()
    page.begin(Metric("wait_seconds", HISTOGRAM, "Waiting.", ("peer",)))
    page.add_histogram(histogram, 2)
    text = page.encode().decode()
    assert [value(text, "wait_seconds_bucket", peer="2", le=le) for le in ("0.1", "1.0", "+Inf")] == [1, 3, 4]
    assert value(text, "wait_seconds_count", peer="2") == 4
    assert value(text, "wait_seconds_sum", peer="2") == 6.05
    assert kinds_of(text) == {"wait_seconds": "histogram"}


def test_names_follow_the_conventions() -> None:
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == COUNTER), metric.name
        assert not metric.name.endswith(("_ms", "_milliseconds", "_count", "_sum", "_bucket")), metric.name
        assert metric.help.endswith(".") and "\\" not in metric.help and "\n" not in metric.help
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_page_on_monitoring_tells_each_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in page.splitlines()]
    told = {(name, kind, labels.replace("`", ""), help) for name, kind, labels, help in _of_length_4(rows)}
    assert told == {(metric.name, metric.kind, ", ".join(metric.labels), metric.help) for metric in METRICS}


def _of_length_4(rows: list[list[str]]) -> Iterator[list[str]]:
    """The rows of the table, without its head."""
    return (row for row in rows if len(row) == 4 and row[0] not in ("metric", "---"))
