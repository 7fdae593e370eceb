"""Durations of requests: none is lost between threads, and each is counted in its kind."""

import threading

from chat.metrics.requests import NO_ROUTE, OTHER, SETTLED_AT_ONCE, RequestDurations

ROUTES = [("GET", "/rooms"), ("POST", "/rooms/{room}")]


def counts(requests: RequestDurations) -> dict[tuple[str, str, str], int]:
    return {(method, path, status): sum(known.counts) for method, path, status, known in requests.counted()}


def test_each_is_counted_by_method_route_and_class_of_status() -> None:
    requests = RequestDurations(ROUTES)
    requests.by_method["POST"]["/rooms/{room}"][2].append(0.1)
    requests.by_method["POST"]["/rooms/{room}"][4].append(0.1)
    requests.by_method["HEAD"]["/rooms"][2].append(0.1)
    requests.without_route("GET")[4].append(0.1)
    requests.without_route("BREW")[4].append(0.1)
    requests.refused[4].append(0.0)
    assert counts(requests) == {
        ("POST", "/rooms/{room}", "2xx"): 1,
        ("POST", "/rooms/{room}", "4xx"): 1,
        ("HEAD", "/rooms", "2xx"): 1,
        ("GET", NO_ROUTE, "4xx"): 1,
        (OTHER, NO_ROUTE, "4xx"): 2,
    }


def test_counting_twice_counts_nothing_twice() -> None:
    requests = RequestDurations(ROUTES)
    requests.by_method["GET"]["/rooms"][2].append(0.1)
    for _ in range(3):
        requests.settle()
    assert counts(requests) == counts(requests) == {("GET", "/rooms", "2xx"): 1}


def test_no_duration_is_lost_while_many_threads_note_and_others_count() -> None:
    requests = RequestDurations(ROUTES)
    noted = requests.by_method["GET"]["/rooms"][2]
    each, stopped = 3 * SETTLED_AT_ONCE, threading.Event()

    def note() -> None:
        for _ in range(each):
            noted.append(0.001)

    def count() -> None:
        while not stopped.is_set():
            requests.settle()

    writers = [threading.Thread(target=note) for _ in range(4)]
    counters = [threading.Thread(target=count) for _ in range(2)]
    for thread in (*counters, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stopped.set()
    for thread in counters:
        thread.join()
    assert counts(requests) == {("GET", "/rooms", "2xx"): 4 * each}
