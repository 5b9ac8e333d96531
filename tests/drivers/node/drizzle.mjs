// Drizzle over node-postgres: unnamed statements, named ones by `.prepare`, `begin` and `commit` for transactions.

import { drizzle } from 'drizzle-orm/node-postgres';
import { sql, eq, gt } from 'drizzle-orm';
import { pgTable, integer, text, boolean, timestamp, numeric, jsonb } from 'drizzle-orm/pg-core';
import pg from 'pg';
import * as s from './steps.mjs';

const { step, fails } = s;
const pool = new pg.Pool({ ...s.pg, max: 1 });
const db = drizzle({ client: pool });
const items = pgTable('items', {
  id: integer('id').primaryKey(), name: text('name'), ok: boolean('ok'), at: timestamp('at', { withTimezone: true }),
  price: numeric('price'), extra: jsonb('extra'), tags: text('tags').array(),
});
const scratch = pgTable('scratch', { id: integer('id').primaryKey(), name: text('name') });
const short = { id: items.id, name: items.name };
const scratches = () => db.select().from(scratch).orderBy(scratch.id);

await db.execute(sql`SELECT 1`);
await step('connect', undefined, { version: s.version('drizzle-orm') });
await step('plain point', await db.select(short).from(items).where(eq(items.id, 3)));
await step('plain many', await db.select(short).from(items).where(gt(items.id, 5)).orderBy(items.id));
await step('plain types', await db.select().from(items).where(eq(items.id, 2)));
await step('plain nulls', await db.select().from(items).where(eq(items.id, 11)));
await step('plain text', await db.select(short).from(items).where(eq(items.name, s.text)));
const prepared = db.select({ name: items.name }).from(items).where(eq(items.id, sql.placeholder('id'))).prepare('by_id');
for (let n = 1; n <= 7; n++) await step(`prepared ${n}`, await prepared.execute({ id: n }));
await db.transaction(async (tx) => {
  await step('transaction point', await tx.select(short).from(items).where(eq(items.id, 3)));
  await tx.transaction(async (tx) => {
    await step('transaction nested', await tx.select(short).from(items).where(eq(items.id, 4)));
  });
});
await step('commit');
await step('write insert', undefined, { returned: await db.insert(scratch).values({ id: 1, name: 'one' }).returning() });
await step('write read', await scratches());
await step('write again', await scratches());
await fails('error division', db.execute(sql`SELECT 1 / (id - id) FROM items`));
await fails('error unique', db.transaction((tx) => tx.insert(scratch).values({ id: 1, name: 'again' })));
await step('failed rollback', await db.select(short).from(items).where(eq(items.id, 3)));
await db.transaction(async (tx) => {
  await tx.insert(scratch).values({ id: 2, name: 'two' });
  await fails('savepoint error', tx.transaction((tx) => tx.insert(scratch).values({ id: 1, name: 'again' })));
});
await step('savepoint read', await scratches());
await db.delete(scratch);
await step('clean');
await pool.end();
await step('close');
