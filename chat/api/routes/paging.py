"""Pages of names, for the lists of rooms, members and users: the query and the header `Link`."""

from chat.api.query import Query, percent_encoded
from chat.api.response import Headers
from chat.api.schemas import NAME, integer
from chat.errors import invalid
from chat.services import validation
from chat.state.name_pages import PAGE_NAMES_MAX, NamePage, NamePageRequest

PAGE = {"before": NAME, "after": NAME, "around": NAME, "limit": integer(1, PAGE_NAMES_MAX)}


def name_ask(query: Query) -> NamePageRequest:
    """`before=name`, `after=name` or `around=name`, and `limit=1000`.  Raises Problem naming the parameter."""
    limit = query.integer("limit", 1, PAGE_NAMES_MAX) or PAGE_NAMES_MAX
    before, after, around = _name(query, "before"), _name(query, "after"), _name(query, "around")
    if [before, after, around].count(None) < 2:
        raise invalid("before, after, around", "only one of them may be given")
    return NamePageRequest(limit, before, after, around)


def _name(query: Query, parameter: str) -> str | None:
    text = query.text(parameter)
    return None if text is None else validation.name(parameter, text)


def name_links(path: str, ask: NamePageRequest, page: NamePage, rest: str = "") -> Headers:
    """The header `Link` with `prev` and `next`, if there are names before and after the page.

    `rest`: the other parameters of the query, to be repeated: "&details=true".
    """
    ways = []
    if page.has_prev:
        ways.append(("prev", "before", page.names[0]))
    if page.has_next:
        ways.append(("next", "after", page.names[-1]))
    links = [
        f'<{path}?{side}={percent_encoded(name)}&limit={ask.limit}{rest}>; rel="{relation}"'
        for relation, side, name in ways
    ]
    return [("Link", ", ".join(links))] if links else []
