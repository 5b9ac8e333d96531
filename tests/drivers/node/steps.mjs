// What the scripts for Node share: where to connect, the statements, and a step as one line of JSON.

import fs from 'node:fs';
import { createRequire } from 'node:module';

export const { PGHOST: host, PGUSER: user, PGDATABASE: database } = process.env;
export const port = Number(process.env.PGPORT);
export const password = process.env.PGPASSWORD;
// node-postgres: the certificate is nobody's that it would know.
export const ssl = process.env.PGSSLMODE === 'require' ? { rejectUnauthorized: false } : false;
export const url = `postgres://${user}${password ? `:${password}` : ''}@${host}:${port}/${database}`;
export const pg = { host, port, user, password, database, ssl, enableChannelBinding: true };

export const POINT = 'SELECT id, name FROM items WHERE id = $1';
export const MANY = 'SELECT id, name FROM items WHERE id > $1 ORDER BY id';
export const TYPES = 'SELECT id, name, ok, at, price, raw, extra, tags FROM items WHERE id = $1';
export const TEXT = 'SELECT id FROM items WHERE name = $1';
export const NAME = 'SELECT name FROM items WHERE id = $1';
export const SCRATCH = 'SELECT id, name FROM scratch ORDER BY id';
export const text = "it's \\ 2";

export function version(name) {
  const at = createRequire(import.meta.url).resolve(`./node_modules/${name}/package.json`);
  return `${name} ${JSON.parse(fs.readFileSync(at)).version}`;
}

function write(line) {
  const bytes = Buffer.from(line);
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at);
}

// Ends a step: rows where it read, whatever else it saw, and waits. Nothing else runs while it waits.
export async function step(name, rows, seen = {}) {
  // What the driver still has to say about the step belongs to it.
  await new Promise((done) => setImmediate(done));
  const line = { step: name, ...seen };
  if (rows !== undefined) line.rows = rows;
  write(JSON.stringify(line, (_, value) => (typeof value === 'bigint' ? String(value) : value)) + '\n');
  const byte = Buffer.alloc(1);
  while (fs.readSync(0, byte) === 1 && byte[0] !== 10);
}

// The SQLSTATE of what fails.
export async function fails(name, promise) {
  try {
    await promise;
    await step(name, undefined, { error: 'none' });
  } catch (error) {
    const inner = error.parent ?? error.driverError ?? error.cause ?? error;
    const sqlstate = inner.code ?? inner.cause?.originalCode ?? error.code;
    await step(name, undefined, { sqlstate, message: inner.message });
  }
}
