// What the scripts for Go share: the statements, and a step as one line of JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

const (
	point   = "SELECT id, name FROM items WHERE id = $1"
	many    = "SELECT id, name FROM items WHERE id > $1 ORDER BY id"
	types   = "SELECT id, name, ok, at, price, raw, extra, tags FROM items WHERE id = $1"
	named   = "SELECT name FROM items WHERE id = $1"
	scratch = "SELECT id, name FROM scratch ORDER BY id"
	text    = "it's \\ 2"
)

var input = bufio.NewReader(os.Stdin)

type seen map[string]interface{}

// Ends a step and waits.
func step(name string, what seen) {
	if what == nil {
		what = seen{}
	}
	what["step"] = name
	line, err := json.Marshal(what)
	must(err)
	fmt.Println(string(line))
	input.ReadString('\n')
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Both read PGPASSWORD themselves.
func url() string {
	mode := os.Getenv("PGSSLMODE")
	if mode == "" {
		mode = "disable"
	}
	return fmt.Sprintf("postgres://%s@%s:%s/%s?sslmode=%s", os.Getenv("PGUSER"), os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGDATABASE"), mode)
}

func plain(value interface{}) interface{} {
	switch v := value.(type) {
	case nil:
		return nil
	case []byte:
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}
