package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

type jsonArgs struct {
	Path     string         `star:"path" doc:"absolute path of the file; one that is missing is made"`
	Values   map[string]any `star:"values" doc:"keys and what they are to be; a dict is merged into the one that is there, anything else replaces it, and None removes the key"`
	Mode     builtin.Mode   `star:"mode" default:"None" doc:"permissions; 0644 for a new file, else as they are"`
	Owner    string         `star:"owner" default:"\"\"" doc:"user; root for a new file, else as it is"`
	Group    string         `star:"group" default:"\"\"" doc:"group; root for a new file, else as it is"`
	Validate string         `star:"validate" default:"\"\"" doc:"command that checks the new content before it takes effect; %s is the file that holds it"`
	Backup   bool           `star:"backup" default:"False" doc:"keep the old content beside it"`
}

var jsonFile = builtin.Method(builtin.Spec{
	Name: "json", Effect: builtin.Operation, Returns: "result",
	Summary: "Keys in a JSON file, whatever else is in it. A file that holds them already stays as it is written; one that is changed is written anew, with its keys sorted.",
	Errors:  []string{"The file holds no JSON object: where its text is wrong; it is left as it was.", "There is a secret in values: write the whole file with host.file."},
	Example: "host.directory(\"/etc/docker\")\nhost.json(\"/etc/docker/daemon.json\", {\"log-opts\": {\"max-size\": \"10m\"}})",
}, func(c *builtin.Call, h *Host, a jsonArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	if op.HasUnknown(a.Values) {
		return nil, errors.New("json: values holds what is known only after apply")
	}
	if hasSecret(a.Values) {
		return nil, errors.New("json: values holds a secret, which would be shown with the rest of the file; write the whole file with host.file")
	}
	o := &fileOp{h: h, kind: "json", id: p, path: p, validate: a.Validate, backup: a.Backup, want: op.Attrs{"type": "file"},
		edit: func(old string, _ bool) (string, error) { return editJSON(p, old, a.Values) }}
	o.attributes(a.Mode, a.Owner, a.Group)
	return c.Do(o)
})

func hasSecret(v any) bool {
	switch v := v.(type) {
	case secret.Value:
		return true
	case map[string]any:
		for _, e := range v {
			if hasSecret(e) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if hasSecret(e) {
				return true
			}
		}
	}
	return false
}

// editJSON merges values into the object that the text holds.
func editJSON(file, old string, values map[string]any) (string, error) {
	have := map[string]any{}
	if strings.TrimSpace(old) != "" {
		decoder := json.NewDecoder(strings.NewReader(old))
		decoder.UseNumber() // whole numbers stay whole, whatever their size
		if err := decoder.Decode(&have); err != nil {
			return "", fmt.Errorf("%s holds no JSON object (%s): mend or remove it first", file, placeOf(old, err))
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s holds more than one JSON value: mend or remove it first", file)
		}
	}
	merged := merge(have, values)
	before, err := json.Marshal(have)
	if err != nil {
		return "", err
	}
	after, err := json.Marshal(merged)
	if err != nil {
		return "", err
	}
	if bytes.Equal(before, after) && old != "" {
		return old, nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(merged)
	return b.String(), err
}

// placeOf adds the line to an error of the JSON decoder.
func placeOf(text string, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && int(syntax.Offset) <= len(text) {
		return fmt.Sprintf("line %d: %v", 1+strings.Count(text[:syntax.Offset], "\n"), err)
	}
	return err.Error()
}

// merge gives have with values over it; neither is changed.
func merge(have, values map[string]any) map[string]any {
	out := maps.Clone(have)
	for key, v := range values {
		if v == nil {
			delete(out, key)
			continue
		}
		below, isMap := v.(map[string]any)
		if isMap {
			there, ok := out[key].(map[string]any)
			if !ok {
				there = map[string]any{}
			}
			v = merge(there, below)
		}
		out[key] = v
	}
	return out
}
