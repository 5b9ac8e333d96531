"""psycopg 3: parameters bound by the server, statements prepared after five executions, pipelines, a pool."""

import datetime
import logging
import threading
import time

import psycopg
from psycopg.rows import dict_row
from psycopg.types import TypeInfo

from report import Report

try:
    import psycopg_pool
except ImportError:
    psycopg_pool = None

# What it logs about a pipeline that ends while results are on their way depends on the moment, and names an address.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

report = Report()

EVERY_TYPE = "SELECT * FROM items WHERE id <= %s ORDER BY id"
POINT = "SELECT name, price FROM items WHERE id = %s"
JOINED = "SELECT label, count(*), sum(price) FROM items JOIN kinds USING (kind) WHERE kind = ANY(%s) GROUP BY 1 ORDER BY 1"
SCRATCH = "SELECT id, name, amount FROM scratch ORDER BY id"


def asker(connection):
    return lambda sql: connection.execute(sql, prepare=False).fetchone()[0]


def shown(cursor):
    columns = [(c.name, c.type_code, c.internal_size, c.precision, c.scale) for c in cursor.description]
    return columns, cursor.fetchall(), cursor.rowcount, cursor.statusmessage


def read(label, connection, sql, parameters=None, expected="hit", **options):
    with connection.cursor(**options) as cursor:
        cursor.execute(sql, parameters)
        report.say(label, shown(cursor))
    report.last(label, asker(connection), expected)


def write(label, connection, sql, parameters=None):
    cursor = connection.execute(sql, parameters)
    report.say(label, (cursor.rowcount, cursor.statusmessage))


def fails(label, connection, sql, parameters=None):
    try:
        connection.execute(sql, parameters)
        report.say(label, "no error")
    except psycopg.Error as error:
        report.say(label, (type(error).__name__, error.sqlstate, str(error)))
    report.say(label + ", status", connection.info.transaction_status)


def autocommit():
    with psycopg.connect(report.url, autocommit=True) as connection:
        read("every type", connection, EVERY_TYPE, (10,))
        read("every type in binary", connection, EVERY_TYPE, (10,), binary=True)
        read("a point", connection, POINT, (3,))
        read("a join", connection, JOINED, ([1, 2],))
        read("a view", connection, "SELECT * FROM named ORDER BY id")
        read("no rows", connection, POINT, (-1,))
        read("as dictionaries", connection, POINT, (4,), row_factory=dict_row)
        read("text", connection, "SELECT id FROM items WHERE name = %s", ("it's \\ 2",))
        read("a date", connection, "SELECT count(*) FROM items WHERE since >= %s", (datetime.date(2024, 1, 5),))
        read("null", connection, "SELECT id FROM items WHERE name IS NOT DISTINCT FROM %s", (None,))
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute(POINT, (5,))
            report.say("bound by the client", shown(cursor))
        report.last("bound by the client", asker(connection))
        read("no relation", connection, "SELECT %s::int", (1,), expected="bypass: no_relation")
        fails("a type that does not fit", connection, "SELECT name FROM items WHERE id = %s", ("x",))
        fails("a division", connection, "SELECT 1 / (id - %s) FROM items WHERE id = 1", (1,))
        read("after errors", connection, POINT, (3,))
        several = connection.execute("SELECT name FROM items WHERE id = 1; SELECT 2")
        report.say("several", (several.fetchall(), several.nextset(), several.fetchall()))
        report.say("a type's oid", TypeInfo.fetch(connection, "jsonb").oid)


def prepared():
    with psycopg.connect(report.url, autocommit=True) as connection:
        for turn in range(9):
            read(f"execution {turn}", connection, POINT, (turn % 3 + 1,))
        names = connection.execute("SELECT name, statement FROM pg_prepared_statements ORDER BY 1")
        report.say("prepared", names.fetchall())
        with connection.cursor() as cursor:
            cursor.execute(JOINED, ([1],), prepare=True)
            report.say("prepared at once", shown(cursor))
        report.last("prepared at once", asker(connection))
        write("deallocate", connection, "DEALLOCATE ALL")
    # In transactions, and with names given up for others.
    with psycopg.connect(report.url) as connection:
        connection.prepared_max = 2
        for turn in range(3):
            for sql in (POINT, "SELECT kind FROM items WHERE id = %s", "SELECT since FROM items WHERE id = %s"):
                for _ in range(6):
                    read(f"given up {turn}", connection, sql, (2,))
            connection.commit()


def transactions():
    with psycopg.connect(report.url) as connection:
        read("a point in a transaction", connection, POINT, (3,))
        report.say("open", connection.info.transaction_status)
        read("a second one", connection, JOINED, ([1, 2],))
        connection.commit()
        write("insert", connection, "INSERT INTO scratch VALUES (%s, %s, %s)", (1, "one", 10))
        read("own row", connection, SCRATCH, expected="bypass: transaction_dirty")
        connection.commit()
        read("after the commit", connection, SCRATCH, expected="miss")
        read("and again", connection, SCRATCH)
        fails("unique", connection, "INSERT INTO scratch VALUES (1, 'again', 0)")
        fails("failed transaction", connection, POINT, (3,))
        connection.rollback()
        with connection.transaction():
            read("in a block", connection, POINT, (3,))
            with connection.transaction() as inner:
                read("in a block in it", connection, POINT, (5,))
                write("an update", connection, "UPDATE scratch SET amount = amount + %s", (1,))
                raise psycopg.Rollback(inner)
        # What a savepoint undid counts as written.
        read("nothing was written", connection, SCRATCH, expected="miss")
        connection.rollback()
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        read("serializable", connection, POINT, (3,), expected="bypass: isolation")
        connection.rollback()
        connection.isolation_level = None
        connection.read_only = True
        read("read only", connection, POINT, (3,))
        fails("a write in it", connection, "DELETE FROM scratch")
        connection.rollback()
        connection.read_only = None
        write("delete", connection, "DELETE FROM scratch")


def many_rows():
    with psycopg.connect(report.url) as connection:
        with connection.cursor("portal") as cursor:
            cursor.itersize = 3
            cursor.execute("SELECT id, name FROM items WHERE id > %s ORDER BY id", (2,))
            report.say("a named cursor", list(cursor))
        with connection.cursor("scrolling", scrollable=True, binary=True) as cursor:
            cursor.execute("SELECT id FROM items ORDER BY id")
            report.say("three", cursor.fetchmany(3))
            cursor.scroll(-2)
            report.say("back", cursor.fetchone())
        with connection.cursor() as cursor:
            report.say("streamed", list(cursor.stream("SELECT id FROM items ORDER BY id")))
        connection.commit()
        with connection.cursor() as cursor:
            rows = [(n, "many", n) for n in range(5)]
            cursor.executemany("INSERT INTO scratch VALUES (%s, %s, %s) RETURNING id", rows, returning=True)
            got = [cursor.fetchone()]
            while cursor.nextset():
                got.append(cursor.fetchone())
            report.say("executemany", got)
        connection.commit()
        read("what was written", connection, SCRATCH, expected="miss")
        connection.commit()
        with connection.cursor() as cursor:
            with cursor.copy("COPY scratch (id, name) FROM STDIN") as copy:
                copy.write_row((10, "copied"))
                copy.write_row((11, None))
            report.say("copy in", cursor.rowcount)
            with cursor.copy("COPY scratch FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int4", "text", "int4"])
                copy.write_row((12, "binary", 5))
            with cursor.copy("COPY (SELECT * FROM scratch ORDER BY id) TO STDOUT") as copy:
                report.say("copy out", b"".join(copy))
        connection.commit()
        read("what was copied", connection, SCRATCH, expected="miss")
        try:
            with connection.cursor().copy("COPY scratch FROM STDIN") as copy:
                copy.write("nonsense\n")
        except psycopg.Error as error:
            report.say("a bad copy", (error.sqlstate, str(error)))
        connection.rollback()
        try:
            with connection.cursor().copy("COPY scratch FROM STDIN") as copy:
                copy.write("20\tgiven up\t1\n")
                raise KeyError("the client thinks again")
        except (psycopg.errors.QueryCanceled, KeyError) as error:
            # Which of the two it is changed with psycopg 3.2.
            report.say("a copy given up", str(error))
        connection.rollback()
        write("delete", connection, "DELETE FROM scratch")


def pipelines():
    with psycopg.connect(report.url, autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute(POINT, (n,)) for n in (1, 2, 3)]
            report.say("a pipeline", [cursor.fetchall() for cursor in cursors])
        with connection.pipeline() as pipeline:
            first = connection.execute("INSERT INTO scratch VALUES (%s, %s, %s)", (1, "piped", 1))
            second = connection.execute(SCRATCH)
            pipeline.sync()
            third = connection.execute(SCRATCH)
            report.say("writes in it", (first.rowcount, second.fetchall(), third.fetchall()))
        try:
            with connection.pipeline():
                connection.execute("DELETE FROM scratch WHERE id = %s", (1,))
                connection.execute("SELECT 1 / (id - %s) FROM items WHERE id = 1", (1,))
                connection.execute(POINT, (1,))
        except psycopg.Error as error:
            report.say("an error in it", (type(error).__name__, error.sqlstate, str(error)))
        read("it undid what was before it", connection, SCRATCH, expected="miss")
        read("and again", connection, SCRATCH)
        write("delete", connection, "DELETE FROM scratch")
        read("after pipelines", connection, POINT, (1,))


def notifications_and_cancel():
    with psycopg.connect(report.url, autocommit=True) as connection:
        connection.execute("LISTEN larder_test")
        with psycopg.connect(report.url, autocommit=True) as other:
            other.execute("SELECT pg_notify(%s, %s)", ("larder_test", "hello"))
        for notify in connection.notifies():
            report.say("notified", (notify.channel, notify.payload))
            break
        timer = threading.Timer(0.2, connection.cancel)
        timer.start()
        fails("cancelled", connection, "SELECT pg_sleep(20)")
        timer.join()
        read("after a cancel", connection, POINT, (3,))


def opaque():
    with psycopg.connect(report.url, autocommit=True, prepare_threshold=0) as connection:
        star = "SELECT * FROM scratch"
        write("insert", connection, "INSERT INTO scratch VALUES (1, 'one', 10)")
        read("prepared", connection, star, expected=None)
        write("a column", connection, "ALTER TABLE scratch ADD COLUMN more int DEFAULT 7")
        # Its result has another shape now: PostgreSQL refuses it.
        fails("prepared before", connection, star)
        write("deallocate", connection, "DEALLOCATE ALL")
        fails("what the client still believes in", connection, star)
    with psycopg.connect(report.url, autocommit=True) as connection:
        read("a column more", connection, star, expected=None)
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        write("do", connection, "DO $$ BEGIN RAISE NOTICE 'done'; DELETE FROM scratch; END $$")
        report.say("notices", notices)
        read("what was done", connection, star, expected=None)
        read("a function", connection, "SELECT by_name(%s)", ("it's \\ 2",), expected=None)
        write("no column more", connection, "ALTER TABLE scratch DROP COLUMN more")
        read("as before", connection, star, expected=None)
        write("prepare", connection, "PREPARE get (int) AS SELECT name FROM items WHERE id = $1")
        read("execute", connection, "EXECUTE get (3)", expected=None)
        fails("no statement", connection, "SELEC 1")


def pool():
    if psycopg_pool is None:
        return
    with psycopg_pool.ConnectionPool(report.url, min_size=1, max_size=1) as connections:
        for turn in ("first", "second", "third"):
            with connections.connection() as connection:
                read(turn + " check-out", connection, POINT, (8,))
            deadline = time.monotonic() + 10
            while connections.get_stats().get("pool_available") != 1 and time.monotonic() < deadline:
                time.sleep(0.01)


if report.opaque:
    opaque()
else:
    autocommit()
    prepared()
    transactions()
    many_rows()
    pipelines()
    notifications_and_cancel()
    pool()
