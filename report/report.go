// Package report is what people see of a run: plain text, JSON lines, or next to nothing. All of it is
// made from the run's events.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"

	"phoenix-run/runner/event"
)

// Format is how a run is shown.
type Format string

// Formats.
const (
	Auto  Format = "auto"  // plain, with colours on a terminal
	Plain Format = "plain" // text without colours
	JSON  Format = "json"  // one event a line
	Quiet Format = "quiet" // failures only
)

// Formats lists what New takes.
var Formats = []Format{Auto, Plain, JSON, Quiet}

// New makes the sink that shows a run on out. With verbose, operations that change nothing and the
// lines of running commands are shown too.
func New(format Format, out io.Writer, verbose bool) (event.Sink, error) {
	switch format {
	case Auto, "":
		return newText(out, colours(out), verbose, false), nil
	case Plain:
		return newText(out, false, verbose, false), nil
	case Quiet:
		return newText(out, colours(out), false, true), nil
	case JSON:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return event.SinkFunc(func(e event.Event) {
			if err := encoder.Encode(e); err != nil {
				fmt.Fprintln(os.Stderr, "phoenix-run: the report can't be written:", err)
			}
		}), nil
	}
	return nil, fmt.Errorf("--output takes %v, not %q", Formats, format)
}

// colours reports whether out is a terminal whose user has not asked for plain text.
func colours(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
