"""The pictures of the README and the guide: `python -m tests.page.pictures`.

The people and what they write are invented; the nodes and the page are real.
"""
