"""libpq itself, call by call: PQexec, PQexecParams in text and binary, PQprepare, single-row mode, its pipeline."""

from psycopg import pq

from steps import *

S = pq.ExecStatus


def shown(result):
    rows = [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]
    return rows, {"tag": result.command_status, "types": [result.ftype(c) for c in range(result.nfields)]}


def read(name, result):
    assert result.status == S.TUPLES_OK, result.error_message
    rows, more = shown(result)
    step(name, rows, **more)


def ends(name, result):
    field = result.error_field(pq.DiagnosticField.SQLSTATE)
    step(name, tag=result.command_status, sqlstate=field, status=int(connection.transaction_status))


def results():
    while (result := connection.get_result()) is not None:
        yield result


names = {"host": HOST, "port": PORT, "user": USER, "dbname": DATABASE}
connection = pq.PGconn.connect(" ".join(f"{k}={v}" for k, v in names.items()).encode())
assert connection.status == pq.ConnStatus.OK, connection.error_message
step("connect", version=f"libpq {pq.version() // 10000}.{pq.version() % 10000}")
for name, sql, value in (("point", POINT, "3"), ("many", MANY, "5"), ("types", TYPES, "2"), ("nulls", TYPES, "11"), ("text", TEXT, TEXT_VALUE)):
    for format, word in ((pq.Format.TEXT, ""), (pq.Format.BINARY, " binary")):
        read("plain " + name + word, connection.exec_params(sql.format("$1").encode(), [value.encode()], result_format=format))
read("plain simple", connection.exec_(POINT.format(3).encode()))
ends("prepare", connection.prepare(b"by_id", NAME.format("$1").encode(), [23]))
for n in range(1, 8):
    read(f"prepared {n}", connection.exec_prepared(b"by_id", [str(n).encode()]))
connection.send_query_params(MANY.format("$1").encode(), [b"5"])
connection.set_single_row_mode()
step("limit single-row mode", [row for result in results() for row in shown(result)[0]])
for word, sql in (("begin", b"BEGIN"), ("point", None), ("prepared", b""), ("commit", b"COMMIT")):
    if sql:
        ends(word, connection.exec_(sql))
    elif sql is None:
        read("transaction point", connection.exec_params(POINT.format("$1").encode(), [b"3"]))
    else:
        read("transaction prepared", connection.exec_prepared(b"by_id", [b"2"]))
if pq.version() >= 140000:
    connection.enter_pipeline_mode()
    for n in (1, 2, 3):
        connection.send_query_params(POINT.format("$1").encode(), [str(n).encode()])
    connection.pipeline_sync()
    connection.flush()
    rows = []
    while len(rows) < 3:
        rows += [row for result in results() for row in shown(result)[0]]
    while (result := connection.get_result()) is None or result.status != S.PIPELINE_SYNC:
        pass
    connection.exit_pipeline_mode()
    step("plain pipeline", rows)
ends("write insert", connection.exec_params(b"INSERT INTO scratch VALUES ($1, $2)", [b"1", b"one"]))
read("write read", connection.exec_(SCRATCH.encode()))
read("write again", connection.exec_(SCRATCH.encode()))
ends("error division", connection.exec_(b"SELECT 1 / (id - id) FROM items"))
connection.exec_(b"BEGIN")
ends("error unique", connection.exec_(b"INSERT INTO scratch VALUES (1, 'again')"))
ends("failed transaction", connection.exec_params(POINT.format("$1").encode(), [b"3"]))
ends("failed commit", connection.exec_(b"COMMIT"))
read("failed rollback", connection.exec_params(POINT.format("$1").encode(), [b"3"]))
for sql in ("BEGIN", "INSERT INTO scratch VALUES (2, 'two')", "SAVEPOINT here", "INSERT INTO scratch VALUES (1, 'again')", "ROLLBACK TO here", "COMMIT"):
    ends("savepoint " + sql.split()[0], connection.exec_(sql.encode()))
read("savepoint read", connection.exec_(SCRATCH.encode()))
ends("clean", connection.exec_(b"DELETE FROM scratch"))
ends("deallocate", connection.exec_(b"DEALLOCATE by_id"))
connection.finish()
step("close")
