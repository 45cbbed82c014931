package shell

import (
	"errors"
	"fmt"
	"regexp"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// errReported says that the expansion has already told what is wrong.
var errReported = errors.New("reported")

// test evaluates an expression of [[ … ]]. What [ can do as well is done by [.
func (sh *Shell) test(x syntax.TestExpr) (bool, error) {
	switch x := x.(type) {
	case *syntax.Word:
		s, ok := sh.literal(x)
		if !ok {
			return false, errReported
		}
		return s != "", nil
	case *syntax.ParenTest:
		return sh.test(x.X)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			ok, err := sh.test(x.X)
			return !ok, err
		}
		return sh.bracket(x.Op.String(), x.X)
	case *syntax.BinaryTest:
		switch x.Op {
		case syntax.AndTest, syntax.OrTest:
			ok, err := sh.test(x.X)
			if err != nil || ok == (x.Op == syntax.OrTest) {
				return ok, err
			}
			return sh.test(x.Y)
		case syntax.TsMatch, syntax.TsMatchShort, syntax.TsNoMatch, syntax.TsReMatch:
			return sh.compare(x)
		}
		return sh.bracket("", x.X, x.Op.String(), x.Y)
	}
	return false, fmt.Errorf("syntax error in conditional expression")
}

func (sh *Shell) compare(x *syntax.BinaryTest) (bool, error) {
	left, leftIs := x.X.(*syntax.Word)
	right, rightIs := x.Y.(*syntax.Word)
	if !leftIs || !rightIs {
		return false, fmt.Errorf("syntax error in conditional expression")
	}
	s, ok := sh.literal(left)
	if !ok {
		return false, errReported
	}
	if x.Op == syntax.TsReMatch {
		text, ok := sh.literal(right)
		if !ok {
			return false, errReported
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return false, err
		}
		groups := re.FindStringSubmatch(s)
		sh.vars["BASH_REMATCH"] = expand.Variable{Set: true, Kind: expand.Indexed, List: groups}
		return groups != nil, nil
	}
	pattern, err := expand.Pattern(sh.config(), right)
	if sh.failed(err) {
		return false, errReported
	}
	return Match(pattern, s) == (x.Op != syntax.TsNoMatch), nil
}

// bracket hands a simple expression to [: an operator, or "" for none, and words and operators.
func (sh *Shell) bracket(op string, parts ...any) (bool, error) {
	args := []string{"test"}
	if op != "" {
		args = append(args, op)
	}
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			args = append(args, part)
		case *syntax.Word:
			s, ok := sh.literal(part)
			if !ok {
				return false, errReported
			}
			args = append(args, s)
		default:
			return false, fmt.Errorf("syntax error in conditional expression")
		}
	}
	sh.plain(args, nil)
	if sh.status > 1 {
		return false, errReported
	}
	return sh.status == 0, nil
}
