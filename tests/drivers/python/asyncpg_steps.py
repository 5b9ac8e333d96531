"""asyncpg: named statements, binary values, one row asked for by fetchrow and fetchval, portals for cursors."""

import asyncio

import asyncpg

from steps import *




async def fails(name, awaitable):
    try:
        await awaitable
        step(name, error="none")
    except asyncpg.PostgresError as error:
        step(name, sqlstate=error.sqlstate, message=str(error))


async def main():
    connection = await asyncpg.connect(host=HOST, port=PORT, user=USER, database=DATABASE)
    step("connect", version=f"asyncpg {asyncpg.__version__}")
    for name, sql, value in (("point", POINT, 3), ("many", MANY, 5), ("types", TYPES, 2), ("nulls", TYPES, 11), ("text", TEXT, TEXT_VALUE)):
        step("plain " + name, await connection.fetch(sql.format("$1"), value))
    statement = await connection.prepare(NAME.format("$1"))
    step("prepare", types=[a.type.oid for a in statement.get_attributes()])
    for n in range(1, 8):
        step(f"prepared {n}", await statement.fetch(n))
    step("limit fetchrow", [await connection.fetchrow(POINT.format("$1"), 3)])
    step("limit fetchval", [[await connection.fetchval(NAME.format("$1"), 3)]])
    step("limit no row", [], value=await connection.fetchrow(POINT.format("$1"), -1))
    async with connection.transaction():
        step("transaction point", await connection.fetch(POINT.format("$1"), 3))
        step("transaction many", await connection.fetch(MANY.format("$1"), 5))
        async with connection.transaction():
            step("transaction nested", await connection.fetch(POINT.format("$1"), 3))
        step("limit fetchrow in a transaction", [await connection.fetchrow(POINT.format("$1"), 3)])
        rows = [row async for row in connection.cursor(MANY.format("$1"), 5, prefetch=2)]
        step("limit cursor", rows)
        cursor = await connection.cursor(MANY.format("$1"), 5)
        rows = [await cursor.fetchrow(), *await cursor.fetch(2), *await cursor.fetch(9)]
        step("limit stepwise", rows)
    step("write insert", tag=await connection.execute("INSERT INTO scratch VALUES ($1, $2)", 1, "one"))
    step("write read", await connection.fetch(SCRATCH))
    step("write again", await connection.fetch(SCRATCH))
    await fails("error division", connection.fetch("SELECT 1 / (id - $1) FROM items WHERE id = 1", 1))
    transaction = connection.transaction()
    await transaction.start()
    await fails("error unique", connection.execute("INSERT INTO scratch VALUES (1, 'again')"))
    await fails("failed transaction", connection.fetch(POINT.format("$1"), 3))
    await transaction.rollback()
    step("failed rollback", await connection.fetch(POINT.format("$1"), 3))
    async with connection.transaction():
        await connection.execute("INSERT INTO scratch VALUES (2, 'two')")
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO scratch VALUES (1, 'again')")
        except asyncpg.PostgresError as error:
            step("savepoint error", sqlstate=error.sqlstate)
    step("savepoint read", await connection.fetch(SCRATCH))
    step("clean", tag=await connection.execute("DELETE FROM scratch"))
    await connection.close()
    # What a pool does when a connection comes back.
    async with asyncpg.create_pool(host=HOST, port=PORT, user=USER, database=DATABASE, min_size=1, max_size=1) as pool:
        for turn in range(1, 3):
            async with pool.acquire() as connection:
                step(f"plain pool {turn}", await connection.fetch(POINT.format("$1"), 3))
            step(f"returned {turn}")
    step("close")


asyncio.run(main())
