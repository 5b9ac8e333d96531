#!/bin/bash
# The application: it reads a price again and again, changes it now and then, and shows what each read was.
set -u
until psql -qc 'SELECT 1' >/dev/null 2>&1; do sleep 1; done
psql -qc 'CREATE TABLE IF NOT EXISTS prices (id int PRIMARY KEY, cents int NOT NULL)'
psql -qc 'INSERT INTO prices VALUES (1, 100) ON CONFLICT DO NOTHING'
while :; do
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        echo 'SELECT cents FROM prices WHERE id = 1;'
        echo 'SHOW larder.last;'
        echo 'SELECT pg_sleep(0.5);'
    done | psql -qAt
    psql -qc 'UPDATE prices SET cents = cents + 1 WHERE id = 1'
done
