"""A page of metrics, read by prometheus_client's own parser."""

from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[str, tuple[tuple[str, str], ...]]  # its name, and its labels in order


def samples_of(text: str) -> dict[Sample, float]:
    """The value of each sample.  Raises ValueError for what is not in the format, or comes twice."""
    values: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            if key in values:
                raise ValueError(f"{key} comes twice")
            values[key] = sample.value
    return values


def value(text: str, name: str, **labels: str) -> float:
    """The value of one sample."""
    return samples_of(text)[name, tuple(sorted(labels.items()))]


def kinds_of(text: str) -> dict[str, str]:
    """The type of each family, by the name that its TYPE line has."""
    lines = [line.split(" ") for line in text.splitlines() if line.startswith("# TYPE ")]
    return {name: kind for _, _, name, kind in lines}
