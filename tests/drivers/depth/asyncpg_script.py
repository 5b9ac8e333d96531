"""asyncpg: binary values, every statement prepared by name, portals with a row limit, a pool that resets sessions."""

import asyncio

import asyncpg

from report import Report

report = Report()

EVERY_TYPE = "SELECT * FROM items WHERE id <= $1 ORDER BY id"
POINT = "SELECT name, price FROM items WHERE id = $1"
JOINED = "SELECT label, count(*), sum(price) FROM items JOIN kinds USING (kind) WHERE kind = ANY($1) GROUP BY 1 ORDER BY 1"
SCRATCH = "SELECT id, name, amount FROM scratch ORDER BY id"


async def last(label, connection, expected="hit"):
    word = await connection.fetchval("SHOW larder.last") if report.larder else None
    report.last(label, lambda _: word, expected)


async def read(label, connection, sql, *parameters, expected="hit"):
    rows = await connection.fetch(sql, *parameters)
    report.say(label, [dict(row) for row in rows])
    await last(label, connection, expected)


async def fails(label, call):
    try:
        report.say(label, ("no error", await call))
    except asyncpg.PostgresError as error:
        report.say(label, (type(error).__name__, error.sqlstate, str(error), error.position))


async def reads(connection):
    await read("every type", connection, EVERY_TYPE, 10)
    await read("a point", connection, POINT, 3)
    await read("a join", connection, JOINED, [1, 2])
    await read("a view", connection, "SELECT * FROM named ORDER BY id")
    await read("no rows", connection, POINT, -1)
    report.say("fetchrow", dict(await connection.fetchrow(POINT, 4)))
    await last("fetchrow", connection)
    report.say("fetchval", await connection.fetchval("SELECT name FROM items WHERE id = $1", 5))
    await last("fetchval", connection)
    report.say("execute", await connection.execute("SELECT name FROM items WHERE id = 5"))
    await last("execute", connection)
    statement = await connection.prepare("SELECT id, name, tags FROM items WHERE kind = $1 AND name <> $2 ORDER BY id")
    report.say("parameters", [(p.oid, p.name) for p in statement.get_parameters()])
    report.say("attributes", [(a.name, a.type.oid, a.type.name) for a in statement.get_attributes()])
    for turn in range(3):
        report.say("prepared", [tuple(row) for row in await statement.fetch(turn, "no")])
        await last(f"prepared {turn}", connection)
    report.say("status", statement.get_statusmsg())
    await fails("a type that does not fit", connection.fetch("SELECT name FROM items WHERE id = 'x'"))
    await fails("a division", connection.fetch("SELECT 1 / (id - $1) FROM items WHERE id = 1", 1))
    await read("after errors", connection, POINT, 3)
    await read("no relation", connection, "SELECT $1::int", 1, expected="bypass: no_relation")


async def transactions(connection):
    async with connection.transaction():
        await read("in a transaction", connection, POINT, 3)
        async with connection.transaction():
            await read("in one in it", connection, POINT, 5)
        await connection.execute("INSERT INTO scratch VALUES ($1, $2, $3)", 1, "one", 10)
        await read("own row", connection, SCRATCH, expected="bypass: transaction_dirty")
    await read("after the commit", connection, SCRATCH, expected="miss")
    await read("and again", connection, SCRATCH)
    async with connection.transaction(isolation="serializable", readonly=True):
        await read("serializable", connection, POINT, 3, expected="bypass: isolation")
    async with connection.transaction(isolation="read_committed", readonly=True):
        await read("read only", connection, POINT, 3)
    transaction = connection.transaction()
    await transaction.start()
    await fails("unique", connection.execute("INSERT INTO scratch VALUES (1, 'again', 0)"))
    await fails("failed transaction", connection.fetch(POINT, 3))
    await transaction.rollback()
    await read("after the rollback", connection, POINT, 3)
    async with connection.transaction():
        got = []
        async for row in connection.cursor("SELECT id, name FROM items WHERE id > $1 ORDER BY id", 2, prefetch=3):
            got.append(tuple(row))
        report.say("a cursor", got)
        cursor = await connection.cursor("SELECT id FROM items ORDER BY id")
        report.say("stepwise", (await cursor.fetchrow(), await cursor.fetch(2), await cursor.forward(2), await cursor.fetch(9)))
        await read("behind cursors", connection, POINT, 3, expected=None)


async def many_rows(connection):
    await connection.executemany("UPDATE scratch SET amount = $1 WHERE id = $2", [(n, 1) for n in range(5)])
    await read("executemany", connection, SCRATCH, expected="miss")
    records = [(n, "copied", n) for n in range(10, 15)]
    report.say("copy in", await connection.copy_records_to_table("scratch", records=records))
    await read("what was copied", connection, SCRATCH, expected="miss")
    pieces = []

    async def keep(piece):
        pieces.append(bytes(piece))

    report.say("copy out", (await connection.copy_from_query(SCRATCH, output=keep), b"".join(pieces)))
    report.say("several", await connection.execute("DELETE FROM scratch WHERE id = 14; DELETE FROM scratch"))
    await read("nothing left", connection, SCRATCH, expected="miss")


async def notifications_and_cancel(connection):
    heard = asyncio.get_running_loop().create_future()
    await connection.add_listener("larder_test", lambda *args: heard.done() or heard.set_result(args[2:]))
    other = await asyncpg.connect(report.url)
    await other.execute("NOTIFY larder_test, 'hello'")
    await other.close()
    report.say("notified", await asyncio.wait_for(heard, 10))
    await connection.reset()
    try:
        await connection.fetch("SELECT pg_sleep(20)", timeout=0.2)
    except asyncio.TimeoutError:
        report.say("cancelled", "by its timeout")
    await read("after a cancel", connection, POINT, 3)


async def pool():
    async with asyncpg.create_pool(report.url, min_size=1, max_size=1) as connections:
        for turn in ("first", "second", "third"):
            async with connections.acquire() as connection:
                await read(turn + " check-out", connection, POINT, 8)
                await connection.execute("SET TimeZone = 'Asia/Tokyo'")


async def opaque(connection):
    star = "SELECT * FROM scratch"
    await connection.execute("INSERT INTO scratch VALUES (1, 'one', 10)")
    await read("before", connection, star, expected=None)
    await connection.execute("ALTER TABLE scratch ADD COLUMN more int DEFAULT 7")
    # asyncpg is refused its statement, and prepares it again.
    await read("a column more", connection, star, expected=None)
    heard = []
    connection.add_log_listener(lambda _, message: heard.append(message.message))
    report.say("do", await connection.execute("DO $$ BEGIN RAISE NOTICE 'done'; DELETE FROM scratch; END $$"))
    await asyncio.sleep(0)
    report.say("notices", heard)
    await read("what was done", connection, star, expected=None)
    report.say("a function", await connection.fetchval("SELECT by_name($1)", "it's \\ 2"))
    await connection.execute("ALTER TABLE scratch DROP COLUMN more")
    await read("as before", connection, star, expected=None)
    await connection.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
    # Types it does not know it looks up in the catalogs, by a statement of some hundred lines.
    await read("a type of ours", connection, "SELECT $1::mood AS mood, ARRAY[ROW(1, 'x')] AS rows", "sad", expected=None)
    await connection.execute("DROP TYPE mood")
    await fails("no statement", connection.execute("SELEC 1"))


async def main():
    connection = await asyncpg.connect(report.url)
    if report.opaque:
        await opaque(connection)
        return await connection.close()
    await reads(connection)
    await transactions(connection)
    await many_rows(connection)
    await notifications_and_cancel(connection)
    await connection.close()
    await pool()


asyncio.run(main())
