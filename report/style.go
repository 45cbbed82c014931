package report

import (
	"image/color"

	"charm.land/lipgloss/v2"

	"phoenix-run/runner/op"
)

// style colours text, or leaves it as it is.
type style struct{ on bool }

func (s style) paint(text string, c color.Color) string {
	if !s.on {
		return text
	}
	return lipgloss.NewStyle().Foreground(c).Render(text)
}

func (s style) good(text string) string    { return s.paint(text, lipgloss.Green) }
func (s style) bad(text string) string     { return s.paint(text, lipgloss.Red) }
func (s style) warn(text string) string    { return s.paint(text, lipgloss.Yellow) }
func (s style) changed(text string) string { return s.paint(text, lipgloss.Yellow) }
func (s style) faint(text string) string   { return s.paint(text, lipgloss.BrightBlack) }

func (s style) bold(text string) string {
	if !s.on {
		return text
	}
	return lipgloss.NewStyle().Bold(true).Render(text)
}

// action colours by what a change does.
func (s style) action(a op.Action, text string) string {
	switch a {
	case op.Create:
		return s.good(text)
	case op.Delete, op.Replace:
		return s.bad(text)
	case op.None:
		return text
	}
	return s.changed(text)
}
