package suite

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// Report shows results as they come.
type Report struct {
	Out     io.Writer
	JSON    bool // one result a line, and one line with the counts
	Colour  bool
	Verbose bool // passed tests too, and what tests print
	Quiet   bool // failures alone
}

func (r Report) mark(text string, good bool) string {
	if !r.Colour {
		return text
	}
	colour := lipgloss.Red
	if good {
		colour = lipgloss.Green
	}
	return lipgloss.NewStyle().Foreground(colour).Render(text)
}

// Result shows one result.
func (r Report) Result(one Result) error {
	if r.JSON {
		return r.encode(one)
	}
	var b strings.Builder
	name := one.File
	if one.Test != "" {
		name += ":" + one.Test
	}
	took := ""
	if one.Duration >= 0.01 {
		took = " " + round(one.Duration)
	}
	switch {
	case one.Status == Failed:
		fmt.Fprintf(&b, "%s %s%s\n", r.mark("FAILED", false), name, took)
	case r.Verbose:
		fmt.Fprintf(&b, "%s %s%s\n", r.mark("passed", true), name, took)
	}
	if one.Status == Failed || r.Verbose {
		for _, line := range one.Log {
			fmt.Fprintf(&b, "    | %s\n", line)
		}
	}
	if e := one.Error; e != nil {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(strings.TrimSuffix(e.Message, "\n"), "\n", "\n  "))
		for _, frame := range e.Backtrace {
			fmt.Fprintf(&b, "    %s\n", frame)
		}
		if e.Excerpt != "" {
			fmt.Fprintf(&b, "%s\n", e.Excerpt)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(r.Out, b.String())
	return err
}

// End shows the counts.
func (r Report) End(passed, failed int, seconds float64) error {
	if r.JSON {
		return r.encode(struct {
			Passed   int     `json:"passed"`
			Failed   int     `json:"failed"`
			Duration float64 `json:"duration"`
		}{passed, failed, seconds})
	}
	if r.Quiet {
		return nil
	}
	word := r.mark("Done:", true)
	if failed > 0 {
		word = r.mark("Failed:", false)
	}
	_, err := fmt.Fprintf(r.Out, "%s %d passed, %d failed in %s.\n", word, passed, failed, round(seconds))
	return err
}

func (r Report) encode(v any) error {
	encoder := json.NewEncoder(r.Out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func round(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond).String()
}
