// lib/pq: the unnamed statement parsed and described before a first Sync, bound and executed before a second.
package main

import (
	"context"
	"database/sql"

	"github.com/lib/pq"
)

type querier interface {
	Query(query string, values ...interface{}) (*sql.Rows, error)
}

func read(db querier, query string, values ...interface{}) seen {
	rows, err := db.Query(query, values...)
	must(err)
	return scanned(rows)
}

func scanned(rows *sql.Rows) seen {
	names, err := rows.Columns()
	must(err)
	all := [][]interface{}{}
	for rows.Next() {
		row := make([]interface{}, len(names))
		places := make([]interface{}, len(names))
		for i := range row {
			places[i] = &row[i]
		}
		must(rows.Scan(places...))
		for i := range row {
			row[i] = plain(row[i])
		}
		all = append(all, row)
	}
	must(rows.Err())
	return seen{"rows": all}
}

func fails(name string, err error) {
	if failed, ok := err.(*pq.Error); ok {
		step(name, seen{"sqlstate": string(failed.Code), "message": failed.Message})
	} else {
		step(name, seen{"error": err})
	}
}

func exec(db interface {
	Exec(query string, values ...interface{}) (sql.Result, error)
}, query string, values ...interface{}) error {
	_, err := db.Exec(query, values...)
	return err
}

func opened(more string) *sql.DB {
	db, err := sql.Open("postgres", url()+more)
	must(err)
	db.SetMaxOpenConns(1)
	must(db.Ping())
	return db
}

func main() {
	db := opened("")
	step("connect", seen{"version": "lib/pq 1.10.7"})
	step("plain point", read(db, point, 3))
	step("plain many", read(db, many, 5))
	step("plain types", read(db, types, 2))
	step("plain nulls", read(db, types, 11))
	step("plain text", read(db, "SELECT id FROM items WHERE name = $1", text))
	step("plain simple", read(db, "SELECT id, name FROM items WHERE id = 3"))
	statement, err := db.Prepare(named)
	must(err)
	step("prepare", nil)
	for n := 1; n <= 7; n++ {
		rows, err := statement.Query(n)
		must(err)
		step("prepared "+string(rune('0'+n)), scanned(rows))
	}
	statement.Close()
	tx, err := db.Begin()
	must(err)
	step("begin", nil)
	step("transaction point", read(tx, point, 3))
	step("transaction many", read(tx, many, 5))
	must(tx.Commit())
	step("commit", nil)
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	must(err)
	step("transaction read only", read(tx, point, 3))
	must(tx.Commit())
	must(exec(db, "INSERT INTO scratch VALUES ($1, $2)", 1, "one"))
	step("write insert", nil)
	step("write read", read(db, scratch))
	step("write again", read(db, scratch))
	fails("error division", exec(db, "SELECT 1 / (id - id) FROM items"))
	tx, err = db.Begin()
	must(err)
	fails("error unique", exec(tx, "INSERT INTO scratch VALUES (1, 'again')"))
	_, err = tx.Query(point, 3)
	fails("failed transaction", err)
	must(tx.Rollback())
	step("failed rollback", read(db, point, 3))
	tx, err = db.Begin()
	must(err)
	must(exec(tx, "INSERT INTO scratch VALUES (2, 'two')"))
	must(exec(tx, "SAVEPOINT here"))
	fails("savepoint error", exec(tx, "INSERT INTO scratch VALUES (1, 'again')"))
	must(exec(tx, "ROLLBACK TO here"))
	must(tx.Commit())
	step("savepoint read", read(db, scratch))
	must(exec(db, "DELETE FROM scratch"))
	step("clean", nil)
	db.Close()
	// Everything in one batch.
	db = opened("&binary_parameters=yes")
	step("plain binary_parameters", read(db, point, 3))
	db.Close()
	step("close", nil)
}
