// node-postgres: unnamed statements in one batch, named ones by name; pg-cursor asks in portions with Flush.

import pg from 'pg';
import Cursor from 'pg-cursor';
import * as s from './steps.mjs';

const { step, fails } = s;
const client = new pg.Client(s.pg);
await client.connect();
await step('connect', undefined, { version: s.version('pg') });
for (const [name, sql, value] of [['point', s.POINT, 3], ['many', s.MANY, 5], ['types', s.TYPES, 2], ['nulls', s.TYPES, 11], ['text', s.TEXT, s.text]]) {
  const result = await client.query(sql, [value]);
  await step(`plain ${name}`, result.rows, { tag: result.command, types: result.fields.map((f) => f.dataTypeID) });
}
await step('plain simple', (await client.query('SELECT id, name FROM items WHERE id = 3')).rows);
await step('plain binary', (await client.query({ text: s.POINT, values: [3], binary: true })).rows);
for (let n = 1; n <= 7; n++) {
  await step(`prepared ${n}`, (await client.query({ name: 'by-id', text: s.NAME, values: [n] })).rows);
}
await client.query('BEGIN');
await step('begin');
await step('transaction point', (await client.query(s.POINT, [3])).rows);
await step('transaction many', (await client.query(s.MANY, [5])).rows);
await step('transaction prepared', (await client.query({ name: 'by-id', text: s.NAME, values: [2] })).rows);
await client.query('COMMIT');
await step('commit');
await step('limit rows', (await client.query({ text: s.MANY, values: [5], rows: 2 })).rows);
const cursor = client.query(new Cursor(s.MANY, [5]));
const rows = [];
for (let piece; (piece = await cursor.read(2)).length; ) rows.push(...piece);
await cursor.close();
await step('limit cursor', rows);
const result = await client.query('INSERT INTO scratch VALUES ($1, $2)', [1, 'one']);
await step('write insert', undefined, { tag: result.command, count: result.rowCount });
await step('write read', (await client.query(s.SCRATCH)).rows);
await step('write again', (await client.query(s.SCRATCH)).rows);
await fails('error division', client.query('SELECT 1 / (id - $1) FROM items WHERE id = 1', [1]));
await client.query('BEGIN');
await fails('error unique', client.query("INSERT INTO scratch VALUES (1, 'again')"));
await fails('failed transaction', client.query(s.POINT, [3]));
await client.query('ROLLBACK');
await step('failed rollback', (await client.query(s.POINT, [3])).rows);
await client.query('BEGIN');
await client.query("INSERT INTO scratch VALUES (2, 'two')");
await client.query('SAVEPOINT here');
await fails('savepoint error', client.query("INSERT INTO scratch VALUES (1, 'again')"));
await client.query('ROLLBACK TO here');
await client.query('COMMIT');
await step('savepoint read', (await client.query(s.SCRATCH)).rows);
await step('clean', undefined, { count: (await client.query('DELETE FROM scratch')).rowCount });
await client.end();
await step('close');
