// Package lang is Starlark as phoenix-run speaks it: honest about unknown values and secrets, with
// error texts for people.
package lang

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// options are the language's switches: sets are on; loops without end, recursion, rebinding of
// globals and control flow at a module's top level stay off.
var options = &syntax.FileOptions{Set: true}

// Compile parses, rewrites and compiles a module. predeclared tells which names are there.
func Compile(filename string, source []byte, predeclared func(name string) bool) (*syntax.File, *starlark.Program, error) {
	file, err := options.Parse(filename, source, syntax.RetainComments)
	if err != nil {
		return nil, nil, err
	}
	rewrite(file)
	program, err := starlark.FileProgram(file, predeclared)
	return file, program, err
}

// Options gives the switches of the language, for evaluating single expressions.
func Options() *syntax.FileOptions { return options }
