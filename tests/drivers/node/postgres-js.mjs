// postgres.js: everything prepared under a name that is new in each process, batches pipelined, `commit` prepared too.

import postgres from 'postgres';
import * as s from './steps.mjs';

const { step, fails } = s;
const sql = postgres({ host: s.host, port: s.port, user: s.user, password: s.password, database: s.database, ssl: s.ssl, max: 1 });
await sql`SELECT 1`;
await step('connect', undefined, { version: s.version('postgres') });
const columns = sql`id, name, ok, at, price, raw, extra, tags`;
await step('plain point', await sql`SELECT id, name FROM items WHERE id = ${3}`);
await step('plain many', await sql`SELECT id, name FROM items WHERE id > ${5} ORDER BY id`);
await step('plain types', await sql`SELECT ${columns} FROM items WHERE id = ${2}`);
await step('plain nulls', await sql`SELECT ${columns} FROM items WHERE id = ${11}`);
await step('plain text', await sql`SELECT id FROM items WHERE name = ${s.text}`);
await step('plain simple', await sql`SELECT id, name FROM items WHERE id = 3`.simple());
await step('plain unprepared', await sql.unsafe(s.POINT, [3]));
for (let n = 1; n <= 7; n++) await step(`prepared ${n}`, await sql`SELECT name FROM items WHERE id = ${n}`);
const piped = await Promise.all([1, 2, 3].map((id) => sql`SELECT name FROM items WHERE id = ${id}`));
await step('prepared pipeline', piped.flat());
await sql.begin(async (sql) => {
  await step('transaction point', await sql`SELECT id, name FROM items WHERE id = ${3}`);
  await step('transaction many', await sql`SELECT id, name FROM items WHERE id > ${5} ORDER BY id`);
  await sql.savepoint(async (sql) => {
    await step('transaction nested', await sql`SELECT id, name FROM items WHERE id = ${4}`);
  });
});
await step('commit');
const rows = [];
for await (const piece of sql`SELECT id, name FROM items WHERE id > ${5} ORDER BY id`.cursor(2)) rows.push(...piece);
await step('limit cursor', rows);
await step('write insert', undefined, { count: (await sql`INSERT INTO scratch VALUES (${1}, ${'one'})`).count });
await step('write read', await sql`SELECT id, name FROM scratch ORDER BY id`);
await step('write again', await sql`SELECT id, name FROM scratch ORDER BY id`);
await fails('error division', sql`SELECT 1 / (id - ${1}) FROM items WHERE id = 1`);
await fails('error unique', sql.begin(async (sql) => {
  await sql`INSERT INTO scratch VALUES (1, 'again')`;
}));
await step('failed rollback', await sql`SELECT id, name FROM items WHERE id = ${3}`);
await sql.begin(async (sql) => {
  await sql`INSERT INTO scratch VALUES (2, 'two')`;
  await fails('savepoint error', sql.savepoint((sql) => sql`INSERT INTO scratch VALUES (1, 'again')`));
});
await step('savepoint read', await sql`SELECT id, name FROM scratch ORDER BY id`);
await step('clean', undefined, { count: (await sql`DELETE FROM scratch`).count });
await sql.end();
await step('close');
