package host

import (
	"context"
	"strings"

	"phoenix-run/remote"
	"phoenix-run/runner/op"
)

// thingOp is a thing of which one read-only script tells everything, as lines of name=value, and that
// another script changes.
type thingOp struct {
	h    *Host
	addr op.Address
	// at is what the thing is in the view; the zero value: the address.
	at op.Key
	// tell is the script that reads it. It prints nothing where there is none.
	tell string
	// stdin is what tell reads.
	stdin []byte
	// parse makes attributes of what tell printed; nil: values.
	parse func(out string) (op.Attrs, error)
	// needs are further things by which an earlier step may bring this one.
	needs []op.Key
	// want is what it should be; nil: absent. As a function it sees what is there.
	want func(current op.State) (op.Attrs, error)
	// apply makes the script that makes a change, and what it reads.
	apply func(change op.Change) (script string, stdin []byte)
	// predict tells the view what else becomes of a change.
	predict func(v *op.View, change op.Change)
}

func (o *thingOp) Address() op.Address { return o.addr }

func (o *thingOp) key() op.Key {
	if o.at != (op.Key{}) {
		return o.at
	}
	return o.h.key(o.addr.Kind, o.addr.ID)
}

func (o *thingOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	s, err := v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		conn, err := o.h.Conn(ctx)
		if err != nil {
			return nil, err
		}
		r, err := conn.Run(ctx, remote.Command{Script: o.tell, Stdin: o.stdin, ReadOnly: true})
		if err != nil {
			return nil, err
		}
		if r.Code != 0 {
			return nil, &remote.ExitError{What: "reading " + o.addr.Kind + " " + o.addr.ID, Result: r}
		}
		if len(r.Stdout) == 0 {
			return nil, nil
		}
		if o.parse != nil {
			return o.parse(string(r.Stdout))
		}
		return values(string(r.Stdout)), nil
	})
	if err == nil && s.Maybe == nil {
		for _, key := range o.needs {
			if s.Maybe = v.Reach(key); s.Maybe != nil {
				break
			}
		}
	}
	return s, err
}

// values reads lines of name=value; yes and no are bools.
func values(out string) op.Attrs {
	a := op.Attrs{}
	for line := range strings.Lines(out) {
		name, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch v {
		case "yes":
			a[name] = true
		case "no":
			a[name] = false
		default:
			a[name] = v
		}
	}
	return a
}

func (o *thingOp) Diff(current op.State) (op.Change, error) {
	want, err := o.want(current)
	if err != nil {
		return op.Change{}, err
	}
	if want == nil {
		return op.Removal(current), nil
	}
	return op.Compare(current, want), nil
}

func (o *thingOp) Predict(v *op.View, change op.Change) {
	v.Put(o.key(), change)
	if o.predict != nil {
		o.predict(v, change)
	}
}

func (o *thingOp) Apply(ctx context.Context, change op.Change) error {
	script, stdin := o.apply(change)
	_, err := o.h.must(ctx, o.addr.Kind+" "+o.addr.ID, script, stdin)
	return err
}

// installFunction is a shell function: install PATH MODE, the content on stdin, by a rename.
const installFunction = `install() {
	t=$(mktemp "$(dirname -- "$1")/.phx-XXXXXX") && cat > "$t" && chmod "$2" "$t" && sync "$t" && mv -fT -- "$t" "$1" || { rm -f -- "$t"; exit 1; }
}
`

// systemdReload has systemd read its units, and what makes units, again.
const systemdReload = "[ ! -d /run/systemd/system ] || systemctl daemon-reload\n"
