// Package playbooks holds the playbooks that come with the binary.
package playbooks

import "embed"

// FS holds the modules, NAME.star.
//
//go:embed *.star
var FS embed.FS
