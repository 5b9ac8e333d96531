// TypeORM over node-postgres: unnamed statements, `START TRANSACTION`.

import 'reflect-metadata';
import typeorm from 'typeorm';
import * as s from './steps.mjs';

const { DataSource, EntitySchema, MoreThan } = typeorm;
const { step, fails } = s;
const Item = new EntitySchema({
  name: 'Item', tableName: 'items',
  columns: {
    id: { type: 'int', primary: true }, name: { type: 'text' }, ok: { type: 'boolean' }, at: { type: 'timestamptz' },
    price: { type: 'numeric' }, raw: { type: 'bytea' }, extra: { type: 'jsonb' }, tags: { type: 'text', array: true },
  },
});
const Scratch = new EntitySchema({ name: 'Scratch', tableName: 'scratch', columns: { id: { type: 'int', primary: true }, name: { type: 'text' } } });
const db = new DataSource({ type: 'postgres', url: s.url, ssl: s.ssl, entities: [Item, Scratch], extra: { max: 1 } });
await db.initialize();
await step('connect', undefined, { version: s.version('typeorm') });
const items = db.getRepository(Item);
const scratch = db.getRepository(Scratch);
const scratches = () => scratch.find({ order: { id: 'ASC' } });
await step('plain point', [await items.findOneBy({ id: 3 })]);
await step('plain many', await items.find({ where: { id: MoreThan(5) }, order: { id: 'ASC' } }));
await step('plain nulls', [await items.findOneBy({ id: 11 })]);
await step('plain text', await items.findBy({ name: s.text }));
await step('plain count', [await items.count()]);
await db.transaction(async (manager) => {
  await step('transaction point', [await manager.getRepository(Item).findOneBy({ id: 3 })]);
  await manager.transaction(async (inner) => {
    await step('transaction nested', [await inner.getRepository(Item).findOneBy({ id: 4 })]);
  });
});
await step('commit');
await scratch.insert({ id: 1, name: 'one' });
await step('write insert');
await step('write read', await scratches());
await step('write again', await scratches());
await scratch.save({ id: 1, name: 'other' });
await step('write save', await scratches());
await fails('error division', db.query('SELECT 1 / (id - id) FROM items'));
await fails('error unique', db.transaction((manager) => manager.getRepository(Scratch).insert({ id: 1, name: 'again' })));
await step('failed rollback', [await items.findOneBy({ id: 3 })]);
await db.transaction(async (manager) => {
  await manager.getRepository(Scratch).insert({ id: 2, name: 'two' });
  await fails('savepoint error', manager.transaction((inner) => inner.getRepository(Scratch).insert({ id: 1, name: 'again' })));
});
await step('savepoint read', await scratches());
await scratch.createQueryBuilder().delete().execute();
await step('clean');
await db.destroy();
await step('close');
