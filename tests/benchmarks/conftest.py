"""What is collected here: the pictures' tests only where pictures can be drawn."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("matplotlib") else ["test_drawing.py"]
