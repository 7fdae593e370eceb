"""Pages of names."""

from bisect import insort

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.state.name_pages import NamePage, NamePageRequest

LETTERS = list("bdfhjln")

_names = st.text("ab", min_size=1, max_size=3)
_limits = st.integers(1, 4)
_lists = st.lists(st.sets(_names, max_size=10).map(sorted), min_size=1, max_size=3)
_asks = st.builds(NamePageRequest, _limits) | st.builds(
    lambda limit, side, name: NamePageRequest(limit, **{side: name}),
    _limits,
    st.sampled_from(["before", "after", "around"]),
    _names,
)


@pytest.mark.parametrize(
    ("ask", "names", "has_prev", "has_next"),
    [
        (NamePageRequest(3), "bdf", False, True),
        (NamePageRequest(7), "bdfhjln", False, False),
        (NamePageRequest(2, after="d"), "fh", True, True),
        (NamePageRequest(2, after="e"), "fh", True, True),
        (NamePageRequest(2, after="j"), "ln", True, False),
        (NamePageRequest(2, after="n"), "", False, False),
        (NamePageRequest(2, before="f"), "bd", False, True),
        (NamePageRequest(2, before="z"), "ln", True, False),
        (NamePageRequest(2, before="b"), "", False, False),
        (NamePageRequest(3, around="h"), "fhj", True, True),
        (NamePageRequest(4, around="h"), "dfhj", True, True),
        (NamePageRequest(3, around="g"), "fhj", True, True),
        (NamePageRequest(3, around="b"), "bdf", False, True),
        (NamePageRequest(3, around="z"), "jln", True, False),
        (NamePageRequest(1, around="h"), "h", True, True),
        (NamePageRequest(1, around="z"), "n", True, False),
        (NamePageRequest(9, around="h"), "bdfhjln", False, False),
    ],
)
def test_a_page_has_the_names_that_are_asked_for(
    ask: NamePageRequest, names: str, has_prev: bool, has_next: bool
) -> None:
    assert ask.page(LETTERS) == NamePage(list(names), has_prev, has_next)


def test_of_no_list_a_page_is_empty() -> None:
    assert NamePageRequest(3).page() == NamePage([], False, False)


@given(_asks, _lists)
def test_several_lists_are_paged_through_as_one(ask: NamePageRequest, lists: list[list[str]]) -> None:
    assert ask.page(*lists) == ask.page(sorted(set().union(*lists)))


@given(_asks, _lists)
def test_a_page_has_what_stands_on_both_sides_of_it_told(ask: NamePageRequest, lists: list[list[str]]) -> None:
    everything = sorted(set().union(*lists))
    names, has_prev, has_next = ask.page(*lists)
    assert len(names) <= ask.limit
    if names:
        at = everything.index(names[0])
        assert everything[at : at + len(names)] == names
        assert (has_prev, has_next) == (at > 0, at + len(names) < len(everything))
    if ask.around is not None:
        assert len(names) == min(ask.limit, len(everything))
        assert ask.around in names or ask.around not in everything


@given(st.sets(_names, min_size=1, max_size=10), st.lists(st.tuples(_names, st.booleans()), max_size=12), _limits)
@pytest.mark.parametrize("backwards", [False, True])
def test_who_walks_on_meets_every_name_once_that_stays_while_others_come_and_go(
    backwards: bool, stay: set[str], others: list[tuple[str, bool]], limit: int
) -> None:
    there = sorted(stay)
    met: list[str] = []
    ask = NamePageRequest(limit, before="c") if backwards else NamePageRequest(limit)
    while True:
        page = ask.page(there)
        met = [*page.names, *met] if backwards else [*met, *page.names]
        if not (page.has_prev if backwards else page.has_next):
            break
        ask = NamePageRequest(limit, before=met[0]) if backwards else NamePageRequest(limit, after=met[-1])
        if others:
            name, comes = others.pop()
            if comes and name not in there:
                insort(there, name)
            elif not comes and name in there and name not in stay:
                there.remove(name)
    assert met == sorted(set(met)), "in order, and none twice"
    assert stay <= set(met)
