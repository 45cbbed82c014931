// Package test is what *_test.star files have besides what playbooks have: the module assert, and the
// simulated machines that features are tried on. Which machines those are, is the caller's business.
package test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

// FailedError is an assertion that does not hold.
type FailedError struct{ Message string }

func (e *FailedError) Error() string { return e.Message }

type pairArgs struct {
	Have    starlark.Value `star:"have" doc:"what there is"`
	Want    starlark.Value `star:"want" doc:"what it is compared with"`
	Message string         `star:"message" default:"\"\"" doc:"what to say besides, if it fails"`
}

type oneArgs struct {
	Have    starlark.Value `star:"have" doc:"what there is"`
	Message string         `star:"message" default:"\"\"" doc:"what to say besides, if it fails"`
}

type patternArgs struct {
	Have    string `star:"have" doc:"what there is"`
	Pattern string `star:"pattern" doc:"a regular expression (RE2) that is found in it"`
}

type failsArgs struct {
	Fn      starlark.Callable `star:"fn" doc:"called without arguments"`
	Pattern string            `star:"pattern" default:"\"\"" doc:"a regular expression (RE2) that is found in the error's text"`
}

// Assert is the module of that name, for tests alone.
var Assert = builtin.Module{
	Name: "assert",
	Doc:  "What must hold in a test, in *_test.star files alone. What does not hold ends the test at that line.",
	Funcs: []*builtin.Builtin{
		builtin.Func(builtin.Spec{Name: "eq", Effect: builtin.Pure, Summary: "Both are equal.",
			Errors:  []string{"They differ: both, or for texts and lists what differs."},
			Example: "assert.eq(1 + 1, 2)"}, equal),
		builtin.Func(builtin.Spec{Name: "ne", Effect: builtin.Pure, Summary: "Both are different.",
			Example: "assert.ne(\"a\", \"b\")"}, differ),
		builtin.Func(builtin.Spec{Name: "true", Effect: builtin.Pure, Summary: "It is true, as if takes it.",
			Example: "assert.true([1])"}, isTrue),
		builtin.Func(builtin.Spec{Name: "false", Effect: builtin.Pure, Summary: "It is false, as if takes it.",
			Example: "assert.false([])"}, isFalse),
		builtin.Func(builtin.Spec{Name: "contains", Effect: builtin.Pure, Summary: "want is in have: a part of a text, an element of a list, a key of a dict.",
			Example: "assert.contains(\"a long text\", \"long\")"}, contains),
		builtin.Func(builtin.Spec{Name: "lacks", Effect: builtin.Pure, Summary: "want is not in have.",
			Example: "assert.lacks([\"a\"], \"b\")"}, lacks),
		builtin.Func(builtin.Spec{Name: "matches", Effect: builtin.Pure, Summary: "The pattern is found in the text.",
			Example: "assert.matches(\"version 1.24\", \"[0-9]+[.][0-9]+\")"}, matches),
		builtin.Func(builtin.Spec{Name: "fails", Effect: builtin.Reads, Summary: "The call fails, with a text in which the pattern is found.",
			Returns: "string: the error's text", Example: "assert.fails(lambda: fail(\"no such thing\"), \"no such\")"}, fails),
	},
}

func failed(message, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if message != "" {
		text = message + ": " + text
	}
	return &FailedError{text}
}

// comparable refuses what a comparison can't look into.
func comparable(a pairArgs) error {
	return errors.Join(value.Known(a.Have), value.Known(a.Want))
}

func equal(_ *builtin.Call, a pairArgs) (starlark.Value, error) {
	if err := comparable(a); err != nil {
		return nil, err
	}
	same, err := starlark.Equal(a.Have, a.Want)
	if err != nil || same {
		return nil, err
	}
	return nil, failed(a.Message, "%s", difference(a.Have, a.Want))
}

// difference tells how two values differ: texts of several lines as a diff, lists by their elements.
func difference(have, want starlark.Value) string {
	h, hText := starlark.AsString(have)
	w, wText := starlark.AsString(want)
	if hText && wText && max(strings.Count(h, "\n"), strings.Count(w, "\n")) > 1 {
		return "the texts differ:\n" + udiff.Unified("want", "have", w, h)
	}
	hl, hList := have.(*starlark.List)
	wl, wList := want.(*starlark.List)
	if hList && wList && hl.Len()+wl.Len() > 2 {
		return "the lists differ:\n" + udiff.Unified("want", "have", lines(wl), lines(hl))
	}
	if have.Type() != want.Type() {
		return fmt.Sprintf("have the %s %s, want the %s %s", have.Type(), have, want.Type(), want)
	}
	return fmt.Sprintf("have %s, want %s", have, want)
}

func lines(l *starlark.List) string {
	var b strings.Builder
	for e := range starlark.Elements(l) {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

func differ(_ *builtin.Call, a pairArgs) (starlark.Value, error) {
	if err := comparable(a); err != nil {
		return nil, err
	}
	same, err := starlark.Equal(a.Have, a.Want)
	if err != nil || !same {
		return nil, err
	}
	return nil, failed(a.Message, "both are %s", a.Have)
}

func isTrue(_ *builtin.Call, a oneArgs) (starlark.Value, error) { return truth(a, true) }

func isFalse(_ *builtin.Call, a oneArgs) (starlark.Value, error) { return truth(a, false) }

func truth(a oneArgs, want starlark.Bool) (starlark.Value, error) {
	if err := value.Decided(a.Have); err != nil {
		return nil, err
	}
	if a.Have.Truth() == want {
		return nil, nil
	}
	return nil, failed(a.Message, "%s is not %v", a.Have, strings.ToLower(want.String()))
}

func contains(_ *builtin.Call, a pairArgs) (starlark.Value, error) {
	found, err := within(a)
	if err != nil || found {
		return nil, err
	}
	return nil, failed(a.Message, "%s is not in %s", a.Want, whole(a.Have))
}

func lacks(_ *builtin.Call, a pairArgs) (starlark.Value, error) {
	found, err := within(a)
	if err != nil || !found {
		return nil, err
	}
	return nil, failed(a.Message, "%s is in %s", a.Want, whole(a.Have))
}

// whole shows what was looked into: a list with an element a line.
func whole(v starlark.Value) string {
	if l, ok := v.(*starlark.List); ok && l.Len() > 1 {
		return "[\n  " + strings.ReplaceAll(strings.TrimSuffix(lines(l), "\n"), "\n", "\n  ") + "\n]"
	}
	if s, ok := starlark.AsString(v); ok && strings.Contains(s, "\n") {
		return "the text\n  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ")
	}
	return v.String()
}

func within(a pairArgs) (bool, error) {
	if err := comparable(a); err != nil {
		return false, err
	}
	if s, ok := starlark.AsString(a.Have); ok {
		part, ok := starlark.AsString(a.Want)
		if !ok {
			return false, fmt.Errorf("assert: want: got %s, want a string to look for in a string", a.Want.Type())
		}
		return strings.Contains(s, part), nil
	}
	iterable, ok := a.Have.(starlark.Iterable)
	if !ok {
		return false, fmt.Errorf("assert: have: got %s, want a string, list or dict", a.Have.Type())
	}
	var failure error
	found := slices.ContainsFunc(slices.Collect(starlark.Elements(iterable)), func(e starlark.Value) bool {
		same, err := starlark.Equal(e, a.Want)
		failure = errors.Join(failure, err)
		return same
	})
	return found, failure
}

func matches(_ *builtin.Call, a patternArgs) (starlark.Value, error) {
	re, err := regexp.Compile(a.Pattern)
	if err != nil {
		return nil, err
	}
	if !re.MatchString(a.Have) {
		return nil, failed("", "%q is not found in %s", a.Pattern, whole(starlark.String(a.Have)))
	}
	return nil, nil
}

func fails(c *builtin.Call, a failsArgs) (starlark.Value, error) {
	re, err := regexp.Compile(a.Pattern)
	if err != nil {
		return nil, err
	}
	v, err := starlark.Call(c.Thread, a.Fn, nil, nil)
	switch {
	case c.Context().Err() != nil:
		return nil, err
	case err == nil:
		return nil, failed("", "it did not fail, but gave %s", v)
	case !re.MatchString(err.Error()):
		return nil, failed("", "%q is not found in the error:\n  %s", a.Pattern, strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return starlark.String(err.Error()), nil
}
