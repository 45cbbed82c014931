// Package examples holds ready configurations: the guide's own two, and a small one to start from.
package examples

import (
	"embed"
	"fmt"
	"io/fs"
)

// FS holds the examples, each in a folder of its name: guide, rumpledev, small.
//
//go:embed guide rumpledev small
var FS embed.FS

// Small returns the files of the starter configuration, which phoenix-run init writes.
func Small() fs.FS {
	sub, err := fs.Sub(FS, "small")
	if err != nil {
		panic(fmt.Sprintf("examples: %v", err)) // the name is a constant, and a valid path
	}
	return sub
}
