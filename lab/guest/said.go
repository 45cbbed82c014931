package guest

import "fmt"

// said is an error in the words of the program that it comes from.
type said string

func (s said) Error() string { return string(s) }

func saidf(format string, args ...any) error { return said(fmt.Sprintf(format, args...)) }
