package runner

import (
	"strconv"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

func itoa(n int) string { return strconv.Itoa(n) }

// redacted takes every secret out of an event, before anyone sees or stores it.
func redacted(e event.Event, r *secret.Redactor) event.Event {
	e.Host, e.Address = r.Redact(e.Host), r.Redact(e.Address)
	e.Message, e.Position = r.Redact(e.Message), r.Redact(e.Position)
	if e.Change != nil {
		c := *e.Change
		c.Before, c.After = redactedAttrs(c.Before, r), redactedAttrs(c.After, r)
		markSecrets(c.Before, c.After, e.Change)
		c.Note = r.Redact(c.Note)
		e.Change = &c
	}
	if e.Error != nil {
		err := *e.Error
		err.Message, err.Excerpt = r.Redact(err.Message), r.Redact(err.Excerpt)
		err.Backtrace = make([]string, len(e.Error.Backtrace))
		for i, line := range e.Error.Backtrace {
			err.Backtrace[i] = r.Redact(line)
		}
		e.Error = &err
	}
	return e
}

// markSecrets says "(secret changed)" where a secret value differs but both sides show the same.
func markSecrets(before, after op.Attrs, original *event.Change) {
	for name, b := range before {
		a, ok := after[name]
		if !ok || op.HasUnknown(a) || !op.Equal(a, b) {
			continue
		}
		if !op.Equal(original.Before[name], original.After[name]) {
			after[name] = "(secret changed)"
		}
	}
}

func redactedAttrs(a op.Attrs, r *secret.Redactor) op.Attrs {
	if a == nil {
		return nil
	}
	out := make(op.Attrs, len(a))
	for k, v := range a {
		out[k] = redactedValue(v, r)
	}
	return out
}

func redactedValue(v any, r *secret.Redactor) any {
	switch v := v.(type) {
	case secret.Value:
		return secret.Placeholder
	case string:
		return r.Redact(v)
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = redactedValue(e, r)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[r.Redact(k)] = redactedValue(e, r)
		}
		return m
	}
	return v
}
