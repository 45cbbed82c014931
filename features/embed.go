// Package features holds the features that come with the binary.
package features

import "embed"

// FS holds the modules, NAME.star.
//
//go:embed *.star
var FS embed.FS
