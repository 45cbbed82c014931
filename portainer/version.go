package portainer

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// CompareVersions compares two versions of Portainer as +1, 0 or -1. "2.45", "v2.45.0" and
// "2.45.0-alpine", as images' tags have it, are the same. A name such as "lts" is an error.
func CompareVersions(a, b string) (int, error) {
	x, err := parseVersion(a)
	if err != nil {
		return 0, err
	}
	y, err := parseVersion(b)
	if err != nil {
		return 0, err
	}
	return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1]), cmp.Compare(x[2], y[2])), nil
}

func parseVersion(text string) (v [3]int, err error) {
	plain, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(text), "v"), "-")
	parts := strings.Split(plain, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v, fmt.Errorf("%q is no version of Portainer, such as 2.45.0", text)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return v, fmt.Errorf("%q is no version of Portainer, such as 2.45.0", text)
		}
		v[i] = int(n)
	}
	return v, nil
}
