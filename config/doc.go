// Package config reads what an environment should be: the three JSON files of a configuration
// folder (virtual machines, stacks, hypervisor).
//
// The Go types are the one description of the format: struct tags give each key its default, its
// bounds and its words, and from them come the decoding, the faults (each with file, line, column
// and path), the JSON Schemas and the reference table. The tags are
//
//	json:"key"      the key in the file
//	doc:"..."       what it means, for schema and reference
//	default:"..."   the value where the key is absent
//	enum:"a,b"      the only values allowed
//	min, max        bounds of a number
//	format:"..."    one of the formats in format.go; for a list, of each item
//	required:"true" the key must be there
//	own:"true"      a key of a single machine, that vm_defaults can't have
//	read:"no"       not a key of the file; Load fills the field
//	scalar:"true"   a secret.Ref that is often no secret: a number or a boolean may stand there too
//
// Load reports every fault of all files at once.
package config

//go:generate go test -run ^TestSchemasAreCurrent$ -count=1 . -update
