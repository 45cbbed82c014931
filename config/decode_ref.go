package config

import (
	"reflect"
	"strconv"

	"phoenix-run/secret"
)

// refObject is the object form of a secret.Ref.
type refObject struct {
	Env     string   `json:"env" format:"env-variable" doc:"The environment variable that holds the secret."`
	File    string   `json:"file" format:"path" doc:"The file that holds the secret; a relative path starts at the configuration folder."`
	Command []string `json:"command" format:"not-empty" doc:"The program and its arguments whose output is the secret; no shell is used."`
}

const refForms = `a string, {"env": NAME}, {"file": PATH} or {"command": [PROGRAM, ARGUMENT, ...]}`

// ref decodes a secret. Nothing of a plain one is shown.
func (d decoder) ref(n *node, v reflect.Value, f field) {
	set := func(r secret.Ref) { v.Set(reflect.ValueOf(r)) }
	switch {
	case n.kind == kindString && f.scalar:
		set(secret.Literal(n.text))
	case n.kind == kindNumber && f.scalar:
		set(secret.Literal(n.text))
	case n.kind == kindBool && f.scalar:
		set(secret.Literal(strconv.FormatBool(n.truth)))
	case n.kind == kindString && n.text == "":
		d.report.fault(n, "is empty; a secret is %s, or leave the key out", refForms)
	case n.kind == kindString:
		set(secret.Literal(n.text))
		d.report.warn(n, "%s", plainSecret)
	case n.kind != kindObject:
		d.report.fault(n, "is %s; a secret is %s", n.kind, refForms)
	default:
		var o refObject
		before := len(d.report.faults)
		d.object(n, reflect.ValueOf(&o).Elem())
		if len(d.report.faults) > before {
			return
		}
		if len(n.members) != 1 {
			d.report.fault(n, "names %d sources; one of env, file and command is needed", len(n.members))
			return
		}
		switch {
		case o.Env != "":
			set(secret.FromEnv(o.Env))
		case o.File != "":
			set(secret.FromFile(o.File))
		case len(o.Command) > 0:
			set(secret.FromCommand(o.Command...))
		default:
			d.report.fault(n, "names no program; {\"command\": [PROGRAM, ARGUMENT, ...]} is needed")
		}
	}
}

// plainSecret is the warning about a secret that stands in the file itself.
const plainSecret = `a secret in plain text; {"env": NAME}, {"file": PATH} or {"command": [PROGRAM, ARGUMENT, ...]} keeps it out of this file`
