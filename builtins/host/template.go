package host

import (
	"fmt"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type templateArgs struct {
	Path     string         `star:"path" doc:"absolute path of the file"`
	Source   string         `star:"source" default:"\"\"" doc:"the template, a file of the project: \"//files/app.conf\" from its root or \"app.conf\" beside this one"`
	Text     string         `star:"text" default:"\"\"" doc:"the template itself, in place of source"`
	Vars     map[string]any `star:"vars" default:"{}" doc:"the values; where one is a secret, the whole content is"`
	Mode     builtin.Mode   `star:"mode" default:"None" doc:"permissions; 0644 for a new file, else as they are"`
	Owner    string         `star:"owner" default:"\"\"" doc:"user; root for a new file, else as it is"`
	Group    string         `star:"group" default:"\"\"" doc:"group; root for a new file, else as it is"`
	Validate string         `star:"validate" default:"\"\"" doc:"command that checks the new content before it takes effect; %s is the file that holds it"`
	Backup   bool           `star:"backup" default:"False" doc:"keep the old content beside it"`
}

var templateFile = builtin.Method(builtin.Spec{
	Name: "template", Effect: builtin.Operation, Returns: "result",
	Summary: "A file whose content is made from a template, as Go's text/template has it: {{ .name }}, {{ range .list }}…{{ end }}, {{ if .flag }}…{{ end }}.",
	Errors:  []string{"The template does not parse, or asks for a value that vars does not hold: where.", "What host.file can't do."},
	Example: "host.template(\"/etc/app.conf\", text = \"listen = {{ .port }}\\n\", vars = {\"port\": 8080})",
}, func(c *builtin.Call, h *Host, a templateArgs) (starlark.Value, error) {
	p, err := clean(a.Path)
	if err != nil {
		return nil, err
	}
	if (a.Source == "") == (a.Text == "") {
		return nil, fmt.Errorf("template: give either source or text")
	}
	name, text := "text", a.Text
	if a.Source != "" {
		source, err := sourceFile(c, a.Source)
		if err != nil {
			return nil, fmt.Errorf("template: source: %w", err)
		}
		name, text = a.Source, string(source)
	}
	content, err := fill(name, text, a.Vars)
	if err != nil {
		return nil, err
	}
	o := &fileOp{h: h, kind: "template", id: p, path: p, validate: a.Validate, backup: a.Backup,
		want: op.Attrs{"type": "file", "content": content.Attr()}}
	o.attributes(a.Mode, a.Owner, a.Group)
	return c.Do(o)
})
