"""psycopg2: the simple protocol, parameters written into the text by the client, BEGIN before everything."""

import psycopg2

from steps import *


def run(sql, *parameters):
    cursor.execute(sql.format("%s"), parameters or None)
    return cursor


def fails(name, sql):
    try:
        run(sql)
        step(name, error="none")
    except psycopg2.Error as error:
        step(name, sqlstate=error.pgcode, message=str(error))


connection = psycopg2.connect(host=HOST, port=PORT, user=USER, dbname=DATABASE)
connection.autocommit = True
cursor = connection.cursor()
libpq = psycopg2.extensions.libpq_version()
step("connect", version=f"psycopg2 {psycopg2.__version__.split()[0]}, libpq {libpq // 10000}.{libpq % 10000}")
for name, sql, value in (("point", POINT, 3), ("many", MANY, 5), ("types", TYPES, 2), ("nulls", TYPES, 11), ("text", TEXT, TEXT_VALUE)):
    rows = run(sql, value).fetchall()
    step("plain " + name, rows, tag=cursor.statusmessage, types=[c.type_code for c in cursor.description])
cursor.execute(MANY.format(5))
step("limit fetchone", [cursor.fetchone()])
connection.autocommit = False
step("transaction point", run(POINT, 3).fetchall())
step("transaction many", run(MANY, 5).fetchall())
connection.commit()
step("commit")
with connection.cursor("portal") as portal:
    portal.itersize = 2
    portal.execute(MANY.format(5))
    rows = list(portal)
connection.commit()
step("cursor declared", values=rows)
run("INSERT INTO scratch VALUES ({}, {})".format("%s", "%s"), 1, "one")
connection.commit()
step("write insert", tag=cursor.statusmessage)
step("write read", run(SCRATCH).fetchall())
connection.commit()
step("write again", run(SCRATCH).fetchall())
connection.commit()
fails("error division", "SELECT 1 / (id - id) FROM items")
connection.rollback()
fails("error unique", "INSERT INTO scratch VALUES (1, 'again')")
fails("failed transaction", POINT.format(3))
connection.rollback()
step("failed rollback", run(POINT, 3).fetchall())
connection.rollback()
run("INSERT INTO scratch VALUES (2, 'two')")
run("SAVEPOINT here")
fails("savepoint error", "INSERT INTO scratch VALUES (1, 'again')")
run("ROLLBACK TO here")
connection.commit()
step("savepoint read", run(SCRATCH).fetchall())
run("DELETE FROM scratch")
connection.commit()
step("clean", tag=cursor.statusmessage)
connection.close()
step("close")
