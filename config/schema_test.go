package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write schemas and golden files anew")

// golden compares got with a file, or writes the file with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; go generate ./config or go test -update writes it anew (-want +got):\n%s", path, diff)
	}
}

func TestSchemasAreCurrent(t *testing.T) {
	for name, schema := range Schemas() {
		golden(t, filepath.Join("schema", name), schema)
		golden(t, filepath.Join("..", "examples", "small", "schema", name), schema)
	}
}

// compileSchemas returns a checker for each of the three files.
func compileSchemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	out := map[string]*jsonschema.Schema{}
	for _, file := range []string{VMFile, StackFile, HypervisorFile} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schemas()[SchemaName(file)]))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(file, doc); err != nil {
			t.Fatal(err)
		}
		if out[file], err = c.Compile(file); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestExamplesFitTheSchemas(t *testing.T) {
	schemas := compileSchemas(t)
	for _, example := range []string{"../examples/guide", "../examples/rumpledev", "../examples/small", "testdata/full"} {
		for file, schema := range schemas {
			data, err := os.ReadFile(filepath.Join(example, file))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s/%s: %v", example, file, err)
			}
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	schemas := compileSchemas(t)
	for _, tt := range []struct{ file, text string }{
		{VMFile, `{}`},
		{VMFile, `{"virtual_machines": [{"vm_id": 1001}]}`},
		{VMFile, `{"virtual_machines": [{"vm_id": 99, "vm_name": "a"}]}`},
		{VMFile, `{"virtual_machines": [{"vm_id": 1001, "vm_name": "a", "cpu_core": 2}]}`},
		{VMFile, `{"virtual_machines": [{"vm_id": 1001, "vm_name": "a_b"}]}`},
		{VMFile, `{"virtual_machines": [{"vm_id": 1001, "vm_name": "a", "ip_config": "static"}]}`},
		{VMFile, `{"virtual_machines": [], "vm_defaults": {"vm_id": 1001}}`},
		{StackFile, `{"docker_stacks": {"a": {"compose": "x"}}}`},
		{StackFile, `{"docker_stacks": {"a": {"git": {"url": "https://x/y", "password": {"env": "A", "file": "b"}}}}}`},
		{HypervisorFile, `{"ssh": {"host_key": "never"}}`},
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if schemas[tt.file].Validate(doc) == nil {
			t.Errorf("the schema of %s takes %s", tt.file, tt.text)
		}
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	text := Reference()
	for name, schema := range Schemas() {
		var s struct {
			Properties map[string]json.RawMessage `json:"properties"`
			Defs       map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"$defs"`
		}
		if err := json.Unmarshal(schema, &s); err != nil {
			t.Fatal(err)
		}
		for key := range s.Properties {
			if !strings.Contains(text, "| `"+key+"` |") {
				t.Errorf("%s: the reference lacks %s", name, key)
			}
		}
		for def, d := range s.Defs {
			for key := range d.Properties {
				if def != "secret" && !strings.Contains(text, "| `"+key+"` |") {
					t.Errorf("%s: the reference lacks %s of %s", name, key, def)
				}
			}
		}
	}
	golden(t, "testdata/reference.md", []byte(text))
}
