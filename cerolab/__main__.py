"""``python -m cerolab``: commands about allocators, see ``cerolab.tools.console``."""

from cerolab.tools.command_line import start
from cerolab.tools.console import app

if __name__ == "__main__":
    start(app)
