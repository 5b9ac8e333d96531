// pgx v4: named statements described before a first Sync, then a format for each column; describe-cache mode, batches.
package main

import (
	"context"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

var background = context.Background()

type querier interface {
	Query(ctx context.Context, query string, values ...interface{}) (pgx.Rows, error)
}

func read(db querier, query string, values ...interface{}) seen {
	rows, err := db.Query(background, query, values...)
	must(err)
	return scanned(rows)
}

func scanned(rows pgx.Rows) seen {
	all := [][]interface{}{}
	for rows.Next() {
		row, err := rows.Values()
		must(err)
		for i := range row {
			row[i] = plain(row[i])
		}
		all = append(all, row)
	}
	must(rows.Err())
	return seen{"rows": all, "tag": rows.CommandTag().String()}
}

func fails(name string, err error) {
	if failed, ok := err.(*pgconn.PgError); ok {
		step(name, seen{"sqlstate": failed.Code, "message": failed.Message})
	} else {
		step(name, seen{"error": err})
	}
}

func exec(db interface {
	Exec(ctx context.Context, query string, values ...interface{}) (pgconn.CommandTag, error)
}, query string, values ...interface{}) error {
	_, err := db.Exec(background, query, values...)
	return err
}

func main() {
	db, err := pgx.Connect(background, url())
	must(err)
	step("connect", seen{"version": "pgx 4.15.0"})
	step("plain point", read(db, point, 3))
	step("plain many", read(db, many, 5))
	step("plain types", read(db, types, 2))
	step("plain nulls", read(db, types, 11))
	step("plain text", read(db, "SELECT id FROM items WHERE name = $1", text))
	step("plain simple protocol", read(db, "SELECT id, name FROM items WHERE id = $1", pgx.QuerySimpleProtocol(true), 3))
	_, err = db.Prepare(background, "by-id", named)
	must(err)
	step("prepare", nil)
	for n := 1; n <= 7; n++ {
		step("prepared "+string(rune('0'+n)), read(db, "by-id", n))
	}
	batch := &pgx.Batch{}
	for n := 1; n <= 3; n++ {
		batch.Queue(point, n)
	}
	results := db.SendBatch(background, batch)
	all := []interface{}{}
	for n := 1; n <= 3; n++ {
		rows, err := results.Query()
		must(err)
		all = append(all, scanned(rows)["rows"])
	}
	must(results.Close())
	step("plain batch", seen{"rows": all})
	tx, err := db.Begin(background)
	must(err)
	step("begin", nil)
	step("transaction point", read(tx, point, 3))
	step("transaction many", read(tx, many, 5))
	nested, err := tx.Begin(background)
	must(err)
	step("transaction nested", read(nested, point, 4))
	must(nested.Commit(background))
	must(tx.Commit(background))
	step("commit", nil)
	must(exec(db, "INSERT INTO scratch VALUES ($1, $2)", 1, "one"))
	step("write insert", nil)
	step("write read", read(db, scratch))
	step("write again", read(db, scratch))
	fails("error division", exec(db, "SELECT 1 / (id - id) FROM items"))
	tx, err = db.Begin(background)
	must(err)
	fails("error unique", exec(tx, "INSERT INTO scratch VALUES (1, 'again')"))
	fails("failed transaction", exec(tx, point, 3))
	must(tx.Rollback(background))
	step("failed rollback", read(db, point, 3))
	tx, err = db.Begin(background)
	must(err)
	must(exec(tx, "INSERT INTO scratch VALUES (2, 'two')"))
	nested, err = tx.Begin(background)
	must(err)
	fails("savepoint error", exec(nested, "INSERT INTO scratch VALUES (1, 'again')"))
	must(nested.Rollback(background))
	must(tx.Commit(background))
	step("savepoint read", read(db, scratch))
	must(exec(db, "DELETE FROM scratch"))
	step("clean", nil)
	must(db.Close(background))
	db, err = pgx.Connect(background, url()+"&statement_cache_mode=describe")
	must(err)
	step("plain describe", read(db, point, 3))
	step("plain describe again", read(db, point, 4))
	must(db.Close(background))
	step("close", nil)
}
