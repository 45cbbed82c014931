package remote

import "strings"

// tailLines is how much of a failed script's output an error message shows; the Result has it all.
const tailLines = 6

// tail gives the last lines of the first stream that holds any, ready to follow a message.
func tail(streams ...[]byte) string {
	for _, s := range streams {
		text := strings.TrimRight(string(s), "\n")
		if text == "" {
			continue
		}
		lines := strings.Split(text, "\n")
		if len(lines) > tailLines {
			lines = lines[len(lines)-tailLines:]
		}
		return ":\n  " + strings.Join(lines, "\n  ")
	}
	return ""
}
