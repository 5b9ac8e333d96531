// Sequelize: the simple protocol with literals in the text; SET and the catalog's types on each new connection.

import { Sequelize, DataTypes, Op } from 'sequelize';
import * as s from './steps.mjs';

const { step, fails } = s;
const db = new Sequelize(s.url, { logging: false, dialectOptions: { ssl: s.ssl }, pool: { max: 1 } });
const Item = db.define('Item', {
  id: { type: DataTypes.INTEGER, primaryKey: true }, name: DataTypes.TEXT, ok: DataTypes.BOOLEAN, at: DataTypes.DATE,
  price: DataTypes.DECIMAL(10, 2), raw: DataTypes.BLOB, extra: DataTypes.JSONB, tags: DataTypes.ARRAY(DataTypes.TEXT),
}, { tableName: 'items', timestamps: false });
const Scratch = db.define('Scratch', { id: { type: DataTypes.INTEGER, primaryKey: true }, name: DataTypes.TEXT },
  { tableName: 'scratch', timestamps: false });
const scratches = () => Scratch.findAll({ order: ['id'], raw: true });

await db.authenticate();
await step('connect', undefined, { version: s.version('sequelize') });
await step('plain point', [await Item.findByPk(3, { raw: true })]);
await step('plain many', await Item.findAll({ where: { id: { [Op.gt]: 5 } }, order: ['id'], raw: true }));
await step('plain nulls', [await Item.findByPk(11, { raw: true })]);
await step('plain text', await Item.findAll({ where: { name: s.text }, raw: true }));
await step('plain bind', await db.query(s.POINT, { bind: [3], type: 'SELECT' }));
await db.transaction(async (transaction) => {
  await step('transaction point', [await Item.findByPk(3, { transaction, raw: true })]);
  await step('transaction many', await Item.findAll({ where: { id: { [Op.gt]: 5 } }, transaction, raw: true }));
});
await step('commit');
await Scratch.create({ id: 1, name: 'one' });
await step('write insert');
await step('write read', await scratches());
await step('write again', await scratches());
await fails('error division', db.query('SELECT 1 / (id - id) FROM items'));
await fails('error unique', db.transaction((transaction) => Scratch.create({ id: 1, name: 'again' }, { transaction })));
await step('failed rollback', [await Item.findByPk(3, { raw: true })]);
await db.transaction(async (transaction) => {
  await Scratch.create({ id: 2, name: 'two' }, { transaction });
  await fails('savepoint error', db.transaction({ transaction }, (inner) => Scratch.create({ id: 1, name: 'again' }, { transaction: inner })));
});
await step('savepoint read', await scratches());
await step('clean', undefined, { count: await Scratch.destroy({ where: {} }) });
await db.close();
await step('close');
