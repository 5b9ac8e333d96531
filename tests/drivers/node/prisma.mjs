// Prisma over adapter-pg: unnamed statements of node-postgres; `$transaction` as BEGIN … COMMIT.

import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from '@prisma/client';
import * as s from './steps.mjs';

const { step, fails } = s;
const db = new PrismaClient({ adapter: new PrismaPg({ ...s.pg, max: 1 }) });
const hex = (row) => row && { ...row, raw: row.raw && Buffer.from(row.raw).toString('hex') };
const scratches = (db_ = db) => db_.scratch.findMany({ orderBy: { id: 'asc' } });
await db.$connect();
await step('connect', undefined, { version: s.version('@prisma/client') });
await step('plain point', [hex(await db.items.findUnique({ where: { id: 3 } }))]);
await step('plain many', (await db.items.findMany({ where: { id: { gt: 5 } }, orderBy: { id: 'asc' } })).map(hex));
await step('plain first', [hex(await db.items.findFirst({ where: { ok: true }, orderBy: { id: 'asc' } }))]);
await step('plain nulls', [hex(await db.items.findUnique({ where: { id: 11 } }))]);
await step('plain text', (await db.items.findMany({ where: { name: s.text } })).map(hex));
for (let n = 1; n <= 7; n++) await step(`prepared ${n}`, await db.$queryRaw`SELECT name FROM items WHERE id = ${n}`);
await db.$transaction(async (db) => {
  await step('transaction point', [hex(await db.items.findUnique({ where: { id: 3 } }))]);
  await step('transaction many', (await db.items.findMany({ where: { id: { gt: 5 } }, orderBy: { id: 'asc' } })).map(hex));
});
await step('commit');
const batch = await db.$transaction([db.items.findUnique({ where: { id: 1 } }), db.items.findUnique({ where: { id: 2 } })]);
await step('transaction batch', batch.map(hex));
await db.scratch.create({ data: { id: 1, name: 'one' } });
await step('write insert');
await step('write read', await scratches());
await step('write again', await scratches());
await fails('error division', db.$queryRaw`SELECT 1 / (id - id) FROM items`);
await fails('error unique', db.$transaction((db) => db.scratch.create({ data: { id: 1, name: 'again' } })));
await step('failed rollback', [hex(await db.items.findUnique({ where: { id: 3 } }))]);
await db.$transaction(async (db) => {
  await db.scratch.create({ data: { id: 2, name: 'two' } });
  await step('write inside', await scratches(db));
});
await step('write committed', await scratches());
await step('clean', undefined, await db.scratch.deleteMany());
await db.$disconnect();
await step('close');
