// Renders a Helm chart where helm is not installed: text/template with sprig and the functions of helm that the chart uses.
//
//	render [-parent CHART] CHART RELEASE NAMESPACE [VALUES...]
//
// With -parent, that chart's templates are rendered with CHART as the one it depends on. A value that is not there and is
// printed ends it with an error, as a misspelt one would.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

type object = map[string]interface{}

type files string

// Get is what templates call: the text of a file of the chart.
func (f files) Get(name string) string {
	text, err := os.ReadFile(filepath.Join(string(f), name))
	check(err)
	return string(text)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func read(path string) object {
	text, err := os.ReadFile(path)
	check(err)
	values := object{}
	check(yaml.Unmarshal(text, &values))
	return values
}

func merge(into, from object) {
	for key, value := range from {
		inner, isObject := value.(object)
		old, wasObject := into[key].(object)
		if isObject && wasObject {
			merge(old, inner)
		} else {
			into[key] = value
		}
	}
}

func toYaml(value interface{}) string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	check(encoder.Encode(value))
	return strings.TrimSuffix(out.String(), "\n")
}

func load(set *template.Template, chart string) []string {
	paths, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	check(err)
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = set.New(path).Parse(string(text))
		check(err)
	}
	return paths
}

func context(chart, release, namespace string, values object) object {
	about := read(filepath.Join(chart, "Chart.yaml"))
	named := object{}
	for key, value := range about {
		named[strings.ToUpper(key[:1])+key[1:]] = value
	}
	return object{
		"Values":    values,
		"Chart":     named,
		"Release":   object{"Name": release, "Namespace": namespace, "Service": "Helm"},
		"Files":     files(chart),
		"Subcharts": object{},
	}
}

func main() {
	arguments := os.Args[1:]
	parent := ""
	if len(arguments) > 1 && arguments[0] == "-parent" {
		parent, arguments = arguments[1], arguments[2:]
	}
	if len(arguments) < 3 {
		check(fmt.Errorf("usage: render [-parent CHART] CHART RELEASE NAMESPACE [VALUES...]"))
	}
	chart, release, namespace := arguments[0], arguments[1], arguments[2]

	set := template.New("charts").Option("missingkey=error")
	functions := sprig.TxtFuncMap()
	functions["toYaml"] = toYaml
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := set.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	set.Funcs(functions)

	values := read(filepath.Join(chart, "values.yaml"))
	for _, path := range arguments[3:] {
		merge(values, read(path))
	}
	data := context(chart, release, namespace, values)
	paths := load(set, chart)
	render(set, paths, data)
	if parent != "" {
		whole := context(parent, release, namespace, object{"larder": values})
		whole["Subcharts"] = object{"larder": data}
		render(set, load(set, parent), whole)
	}
}

func render(set *template.Template, paths []string, data object) {
	for _, path := range paths {
		var out bytes.Buffer
		check(set.ExecuteTemplate(&out, path, data))
		text := strings.TrimSpace(out.String())
		switch {
		case strings.HasSuffix(path, "NOTES.txt"):
			if text == "" {
				check(fmt.Errorf("%s says nothing", path))
			}
		case text != "":
			fmt.Printf("---\n# Source: %s\n%s\n", path, text)
		}
	}
}
