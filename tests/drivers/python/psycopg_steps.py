"""psycopg 3: unnamed statements, prepared after five executions, BEGIN as a round trip of its own; and its pipeline."""

import sys

import psycopg

from steps import *

pipelined = "pipeline" in sys.argv


def run(sql, *parameters, **options):
    return connection.execute(sql.format("%s"), parameters or None, **options)


def fails(name, sql, *parameters):
    try:
        run(sql, *parameters)
        step(name, error="none")
    except psycopg.Error as error:
        step(name, sqlstate=error.sqlstate, message=str(error))


connection = psycopg.connect(host=HOST, port=PORT, user=USER, dbname=DATABASE, autocommit=True)
libpq = psycopg.pq.version()
step("connect", version=f"psycopg {psycopg.__version__} ({psycopg.pq.__impl__}), libpq {libpq // 10000}.{libpq % 10000}")

if pipelined:
    with connection.pipeline():
        cursors = [run(POINT, n) for n in (1, 2, 3)]
        rows = [cursor.fetchone() for cursor in cursors]
    step("plain three", rows)
    for turn in range(1, 8):
        with connection.pipeline():
            cursors = [run(NAME, n, prepare=True) for n in (turn, turn + 1)]
            rows = [cursor.fetchone() for cursor in cursors]
        step(f"prepared {turn}", rows)
    connection.autocommit = False
    with connection.pipeline():
        cursors = [run(POINT, n) for n in (1, 2, 3)]
        rows = [cursor.fetchone() for cursor in cursors]
        connection.commit()
    step("transaction three", rows)
    connection.autocommit = True
    with connection.pipeline() as pipeline:
        written = run("INSERT INTO scratch VALUES ({}, {})".format("%s", "%s"), 1, "one")
        read = run(SCRATCH)
        pipeline.sync()
        again = run(SCRATCH)
        rows = read.fetchall() + again.fetchall()
    step("write read", rows, tag=written.statusmessage)
    try:
        with connection.pipeline():
            run("DELETE FROM scratch")
            run("SELECT 1 / (id - {}) FROM items", 1)
            run(POINT, 1)
    except psycopg.Error as error:
        step("error division", sqlstate=error.sqlstate, message=str(error))
    step("failed undone", run(SCRATCH).fetchall())
else:
    for name, sql, value in (("point", POINT, 3), ("many", MANY, 5), ("types", TYPES, 2), ("nulls", TYPES, 11), ("text", TEXT, TEXT_VALUE)):
        cursor = run(sql, value)
        step("plain " + name, cursor.fetchall(), tag=cursor.statusmessage, types=[c.type_code for c in cursor.description])
    with connection.cursor(binary=True) as cursor:
        step("plain binary", cursor.execute(TYPES.format("%s"), (2,)).fetchall())
    for n in range(1, 8):
        step(f"prepared {n}", run(NAME, n).fetchall())
    step("prepared at once", run(POINT, 4, prepare=True).fetchall())
    with connection.cursor() as cursor:
        step("limit stream", list(cursor.stream(MANY.format("%s"), (5,))))
    connection.autocommit = False
    step("transaction point", run(POINT, 3).fetchall())
    step("transaction many", run(MANY, 5).fetchall())
    connection.commit()
    with connection.transaction():
        step("transaction block", run(POINT, 3).fetchall())
        with connection.transaction():
            step("transaction nested", run(POINT, 3).fetchall())
    with connection.cursor("portal") as portal:
        portal.itersize = 2
        rows = portal.execute(MANY.format("%s"), (5,)).fetchall()
    connection.commit()
    step("cursor declared", values=rows)
    cursor = run("INSERT INTO scratch VALUES ({}, {})".format("%s", "%s"), 1, "one")
    connection.commit()
    step("write insert", tag=cursor.statusmessage)
    step("write read", run(SCRATCH).fetchall())
    connection.commit()
    step("write again", run(SCRATCH).fetchall())
    connection.commit()
    fails("error division", "SELECT 1 / (id - {}) FROM items WHERE id = 1", 1)
    connection.rollback()
    fails("error unique", "INSERT INTO scratch VALUES (1, 'again')")
    fails("failed transaction", POINT, 3)
    connection.rollback()
    step("failed rollback", run(POINT, 3).fetchall())
    connection.rollback()
    with connection.transaction():
        run("INSERT INTO scratch VALUES (2, 'two')")
        try:
            with connection.transaction():
                run("INSERT INTO scratch VALUES (1, 'again')")
        except psycopg.Error as error:
            step("savepoint error", sqlstate=error.sqlstate, message=str(error))
    step("savepoint read", run(SCRATCH).fetchall())
    connection.commit()
    connection.autocommit = True
step("clean", tag=run("DELETE FROM scratch").statusmessage)
connection.close()
step("close")
