"""psycopg2: simple protocol, parameters interpolated by the client, a transaction around everything by default."""

import datetime
import io
import threading
import time

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

from report import Report

report = Report()

EVERY_TYPE = "SELECT * FROM items WHERE id <= %s ORDER BY id"
POINT = "SELECT name, price FROM items WHERE id = %s"
JOINED = "SELECT label, count(*), sum(price) FROM items JOIN kinds USING (kind) WHERE kind = ANY(%s) GROUP BY 1 ORDER BY 1"
SCRATCH = "SELECT id, name, amount FROM scratch ORDER BY id"


def asker(connection):
    def ask(sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    return ask


def read(label, connection, sql, parameters=None, expected="hit", **options):
    with connection.cursor(**options) as cursor:
        cursor.execute(sql, parameters)
        columns = [(c.name, c.type_code, c.internal_size, c.precision, c.scale) for c in cursor.description]
        report.say(label, (columns, cursor.fetchall(), cursor.rowcount, cursor.statusmessage))
    report.last(label, asker(connection), expected)


def write(label, connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        report.say(label, (cursor.rowcount, cursor.statusmessage))


def fails(label, connection, sql, parameters=None):
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
        report.say(label, "no error")
    except psycopg2.Error as error:
        report.say(label, (type(error).__name__, error.pgcode, str(error)))
    report.say(label + ", status", connection.info.transaction_status)


def autocommit():
    connection = psycopg2.connect(report.url)
    connection.autocommit = True
    read("every type", connection, EVERY_TYPE, (10,))
    read("a point", connection, POINT, (3,))
    read("a join", connection, JOINED, ([1, 2],))
    read("a view", connection, "SELECT * FROM named ORDER BY id")
    read("no rows", connection, POINT, (-1,))
    read("as dictionaries", connection, POINT, (4,), cursor_factory=psycopg2.extras.RealDictCursor)
    read("text", connection, "SELECT id FROM items WHERE name = %s", ("it's \\ 2",))
    read("a date", connection, "SELECT count(*) FROM items WHERE since >= %s", (datetime.date(2024, 1, 5),))
    read("no relation", connection, "SELECT 1", expected="bypass: no_relation")
    fails("a type that does not fit", connection, "SELECT name FROM items WHERE id = 'x'")
    fails("a division", connection, "SELECT 1 / (id - id) FROM items")
    read("after errors", connection, POINT, (3,))
    connection.close()


def transactions():
    connection = psycopg2.connect(report.url)
    read("a point in a transaction", connection, POINT, (3,))
    report.say("open", connection.info.transaction_status)
    read("a second one", connection, JOINED, ([1, 2],))
    connection.commit()
    with connection:
        read("in a with", connection, POINT, (5,))
        write("insert", connection, "INSERT INTO scratch VALUES (1, 'one', 10), (2, 'two', 20)")
        read("own row", connection, SCRATCH, expected="bypass: transaction_dirty")
    read("after the commit", connection, SCRATCH, expected="miss")
    read("and again", connection, SCRATCH)
    fails("unique", connection, "INSERT INTO scratch VALUES (1, 'again', 0)")
    fails("failed transaction", connection, POINT, (3,))
    connection.rollback()
    read("after the rollback", connection, POINT, (3,))
    connection.rollback()
    connection.set_session(isolation_level="REPEATABLE READ")
    read("repeatable read", connection, POINT, (3,), expected="bypass: isolation")
    connection.rollback()
    connection.set_session(isolation_level="READ COMMITTED", readonly=True)
    read("read only", connection, POINT, (3,))
    fails("a write in it", connection, "DELETE FROM scratch")
    connection.rollback()
    connection.set_session(isolation_level="DEFAULT", readonly=False)
    write("a savepoint", connection, "SAVEPOINT here")
    read("behind a savepoint", connection, POINT, (3,))
    write("an update", connection, "UPDATE scratch SET amount = amount + 1")
    write("back", connection, "ROLLBACK TO here")
    connection.commit()
    # What a savepoint undid counts as written.
    read("nothing was written", connection, SCRATCH, expected="miss")
    write("delete", connection, "DELETE FROM scratch")
    connection.commit()
    connection.close()


def many_rows():
    connection = psycopg2.connect(report.url)
    with connection.cursor("portal") as cursor:
        cursor.itersize = 3
        cursor.execute("SELECT id, name FROM items ORDER BY id")
        report.say("a named cursor", list(cursor))
    with connection.cursor("scrolling", scrollable=True) as cursor:
        cursor.execute("SELECT id FROM items ORDER BY id")
        report.say("three", cursor.fetchmany(3))
        cursor.scroll(-2)
        report.say("back", cursor.fetchone())
    connection.commit()
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO scratch VALUES (%s, %s, %s)", [(n, "many", n) for n in range(3)])
        report.say("executemany", cursor.rowcount)
        rows = [(n, "values", n) for n in range(3, 6)]
        got = psycopg2.extras.execute_values(cursor, "INSERT INTO scratch VALUES %s RETURNING id", rows, fetch=True)
        report.say("execute_values", got)
        psycopg2.extras.execute_batch(cursor, "UPDATE scratch SET amount = %s WHERE id = %s", [(7, 0), (8, 1)])
    connection.commit()
    read("what was written", connection, SCRATCH, expected="miss")
    connection.commit()
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY scratch FROM STDIN WITH (FORMAT csv)", io.StringIO("10,copied,1\n11,copied,2\n"))
        report.say("copy in", cursor.rowcount)
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM scratch ORDER BY id) TO STDOUT", out)
        report.say("copy out", out.getvalue())
    connection.commit()
    read("what was copied", connection, SCRATCH, expected="miss")
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert("COPY scratch FROM STDIN", io.StringIO("nonsense\n"))
    except psycopg2.Error as error:
        report.say("a bad copy", (error.pgcode, str(error)))
    connection.rollback()
    write("delete", connection, "DELETE FROM scratch")
    connection.commit()
    connection.close()


def statements_and_settings():
    connection = psycopg2.connect(report.url, application_name="larder test", options="-c statement_timeout=60000")
    connection.autocommit = True
    read("with startup settings", connection, POINT, (6,))
    write("a time zone", connection, "SET TimeZone = 'Asia/Tokyo'")
    read("in Tokyo", connection, "SELECT at FROM items WHERE id = 1")
    connection.reset()
    connection.autocommit = True
    read("at home", connection, "SELECT at FROM items WHERE id = 1")
    connection.set_client_encoding("LATIN1")
    read("in Latin 1", connection, POINT, (7,), expected="bypass: encoding")
    connection.set_client_encoding("UTF8")
    read("in UTF-8", connection, POINT, (7,))
    report.say("notices", connection.notices)
    connection.close()


def notifications_and_cancel():
    connection = psycopg2.connect(report.url)
    connection.autocommit = True
    write("listen", connection, "LISTEN larder_test")
    other = psycopg2.connect(report.url)
    other.autocommit = True
    write("notify", other, "NOTIFY larder_test, 'hello'")
    other.close()
    deadline = time.monotonic() + 10
    while not connection.notifies and time.monotonic() < deadline:
        time.sleep(0.01)
        connection.poll()
    report.say("notified", [(n.channel, n.payload) for n in connection.notifies])
    timer = threading.Timer(0.2, connection.cancel)
    timer.start()
    fails("cancelled", connection, "SELECT pg_sleep(20)")
    timer.join()
    read("after a cancel", connection, POINT, (3,))
    connection.close()


def opaque():
    connection = psycopg2.connect(report.url)
    connection.autocommit = True
    write("prepare", connection, "PREPARE get (int) AS SELECT name FROM items WHERE id = $1")
    for number in range(7):
        with connection.cursor() as cursor:
            cursor.execute("EXECUTE get (%s)", (number,))
            report.say("execute", (cursor.fetchall(), cursor.statusmessage))
    write("deallocate", connection, "DEALLOCATE get")
    fails("gone", connection, "EXECUTE get (1)")
    read("what is empty", connection, SCRATCH, expected=None)
    write("a column", connection, "ALTER TABLE scratch ADD COLUMN more int DEFAULT 7")
    write("insert", connection, "INSERT INTO scratch VALUES (1, 'one', 10)")
    read("a column more", connection, "SELECT * FROM scratch", expected=None)
    write("do", connection, "DO $$ BEGIN RAISE NOTICE 'done'; DELETE FROM scratch; END $$")
    report.say("notices", connection.notices)
    read("what was done", connection, "SELECT * FROM scratch", expected=None)
    with connection.cursor() as cursor:
        cursor.callproc("by_name", ("it's \\ 2",))
        report.say("callproc", cursor.fetchall())
    connection.autocommit = False
    large = connection.lobject(0, "wb")
    large.write(b"large")
    report.say("a large object", large.tell())
    large.unlink()
    connection.commit()
    connection.autocommit = True
    write("no column more", connection, "ALTER TABLE scratch DROP COLUMN more")
    fails("no statement", connection, "SELEC 1")
    connection.close()


def pool():
    connections = psycopg2.pool.ThreadedConnectionPool(1, 1, report.url)
    for turn in ("first", "second"):
        connection = connections.getconn()
        read(turn + " check-out", connection, POINT, (8,))
        connections.putconn(connection)
    connections.closeall()


if report.opaque:
    opaque()
else:
    autocommit()
    transactions()
    many_rows()
    statements_and_settings()
    notifications_and_cancel()
    pool()
