package load

import (
	"path"

	"phoenix-run/runner/lang"
)

// nearest names the module of the same folder whose name is most like rel's.
func (s Source) nearest(rel string) string {
	folder := path.Dir(rel)
	names := s.List(folder)
	for i := range names {
		names[i] += ".star"
	}
	return lang.Nearest(path.Base(rel), names)
}
