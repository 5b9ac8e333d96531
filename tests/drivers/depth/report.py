"""What the client scripts print: lines that must be the same direct and through Larder, and outcomes."""

import sys


def plain(value):
    """The value with bytes for memory, whose representation is its address."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(each) for each in value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


class Report:
    """`say` prints what the client saw; `last` how Larder answered the read before, where there is a Larder.

    `opaque` asks for the script's other part: what raises the whole database, so that nothing is a hit behind it.
    """

    def __init__(self):
        self.url = sys.argv[1]
        self.larder = "larder" in sys.argv[2:]
        self.opaque = "opaque" in sys.argv[2:]

    def say(self, label, value):
        print("said", label, repr(plain(value)), sep="\t", flush=True)

    def last(self, label, ask, expected="hit"):
        """`ask` runs a statement and returns its only value; `expected` is the outcome once the cache is warm."""
        if self.larder:
            print("last", label, ask("SHOW larder.last"), expected, sep="\t", flush=True)
