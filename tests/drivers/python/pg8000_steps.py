"""pg8000: pure Python, three Syncs for a read on the unnamed statement, `begin transaction` by the extended protocol."""

import ssl

import pg8000
import pg8000.native

from steps import *

tls = ssl.create_default_context() if TLS else None
if tls:
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
where = {"host": HOST, "port": PORT, "database": DATABASE, "password": PASSWORD, "ssl_context": tls}
connection = pg8000.native.Connection(USER, **where)


def run(sql, value=None):
    return connection.run(sql.format(":value"), **({} if value is None else {"value": value}))


def fails(name, sql):
    try:
        run(sql)
        step(name, error="none")
    except pg8000.exceptions.DatabaseError as error:
        step(name, sqlstate=error.args[0]["C"], message=error.args[0]["M"])


step("connect", version=f"pg8000 {pg8000.__version__}")
for name, sql, value in (("point", POINT, 3), ("many", MANY, 5), ("types", TYPES, 2), ("nulls", TYPES, 11), ("text", TEXT, TEXT_VALUE)):
    rows = run(sql, value)
    step("plain " + name, rows, types=[c["type_oid"] for c in connection.columns])
statement = connection.prepare(NAME.format(":value"))
step("prepare")
for n in range(1, 8):
    step(f"prepared {n}", statement.run(value=n))
statement.close()
connection.run("begin transaction")
step("begin")
step("transaction point", run(POINT, 3))
step("transaction many", run(MANY, 5))
connection.run("commit")
step("commit")
# What SQLAlchemy and others use: DB-API, where every read begins a transaction.
dbapi = pg8000.connect(USER, **where)
cursor = dbapi.cursor()
cursor.execute(POINT.format("%s"), (3,))
step("transaction DB-API", cursor.fetchall())
dbapi.rollback()
dbapi.close()
run("INSERT INTO scratch VALUES (1, 'one')")
step("write insert", tag=connection.row_count)
step("write read", run(SCRATCH))
step("write again", run(SCRATCH))
fails("error division", "SELECT 1 / (id - id) FROM items")
connection.run("begin transaction")
fails("error unique", "INSERT INTO scratch VALUES (1, 'again')")
fails("failed transaction", POINT.format(3))
connection.run("rollback")
step("failed rollback", run(POINT, 3))
connection.run("begin transaction")
run("INSERT INTO scratch VALUES (2, 'two')")
connection.run("savepoint here")
fails("savepoint error", "INSERT INTO scratch VALUES (1, 'again')")
connection.run("rollback to here")
connection.run("commit")
step("savepoint read", run(SCRATCH))
run("DELETE FROM scratch")
step("clean", tag=connection.row_count)
connection.close()
step("close")
