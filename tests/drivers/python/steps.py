"""What the Python scripts share: the statements, and a step as one line of JSON."""

import json
import os
import sys

HOST = os.environ["PGHOST"]
PORT = int(os.environ["PGPORT"])
USER = os.environ["PGUSER"]
DATABASE = os.environ["PGDATABASE"]
# What is built on libpq finds both by itself, and asyncpg does.
PASSWORD = os.environ.get("PGPASSWORD")
TLS = os.environ.get("PGSSLMODE") == "require"

POINT = "SELECT id, name FROM items WHERE id = {}"
MANY = "SELECT id, name FROM items WHERE id > {} ORDER BY id"
TYPES = "SELECT id, name, ok, at, price, raw, extra, tags FROM items WHERE id = {}"
TEXT = "SELECT id FROM items WHERE name = {}"
NAME = "SELECT name FROM items WHERE id = {}"
SCRATCH = "SELECT id, name FROM scratch ORDER BY id"
TEXT_VALUE = "it's \\ 2"


def plain(value):
    if isinstance(value, (memoryview, bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return None if value is None else str(value)


def step(name, rows=None, **seen):
    """Ends a step: rows where it read, whatever else it saw, and waits."""
    if rows is not None:
        seen["rows"] = [plain(tuple(row)) for row in rows]
    print(json.dumps({"step": name, **{k: plain(v) if not isinstance(v, list) else v for k, v in seen.items()}}), flush=True)
    sys.stdin.readline()
