package host

import (
	"context"
	"strings"

	"phoenix-run/remote"
	"phoenix-run/remote/shell"
)

// read runs a script that changes nothing.
func (h *Host) read(ctx context.Context, script string) (remote.Result, error) {
	conn, err := h.Conn(ctx)
	if err != nil {
		return remote.Result{}, err
	}
	return conn.Run(ctx, remote.Command{Script: script, ReadOnly: true})
}

// must runs a changing script that has to succeed; what names it in the error.
func (h *Host) must(ctx context.Context, what, script string, stdin []byte) (remote.Result, error) {
	conn, err := h.Conn(ctx)
	if err != nil {
		return remote.Result{}, err
	}
	r, err := conn.Run(ctx, remote.Command{Script: script, Stdin: stdin})
	if err != nil {
		return r, err
	}
	if r.Code != 0 {
		return r, &remote.ExitError{What: what, Result: r}
	}
	return r, nil
}

// quote makes words of a shell command line.
func quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shell.Quote(w)
	}
	return strings.Join(quoted, " ")
}
