package tree

import (
	"cmp"
	"path"
	"slices"
)

// Diff tells what has to change so that have becomes want, folders before what is in them.
func (s *Spec) Diff(want, have []Entry) []Change {
	there := make(map[string]*Entry, len(have))
	for i := range have {
		there[have[i].Path] = &have[i]
	}
	wanted := make(map[string]bool, len(want))
	var changes []Change
	for i := range want {
		after := &want[i]
		wanted[after.Path] = true
		before := there[after.Path]
		if action := s.action(before, after); action != "" {
			changes = append(changes, Change{action, after.Path, before, after})
		}
	}
	if s.Delete {
		var gone []Change
		for i := range have {
			e := &have[i]
			if !wanted[e.Path] && !s.excluded(e.Path) {
				gone = append(gone, Change{Action: Delete, Path: e.Path, Before: e})
			}
		}
		changes = append(changes, s.topmost(gone, have, changes)...)
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return changes
}

func (s *Spec) action(before, after *Entry) Action {
	switch {
	case before == nil:
		return Create
	case before.Type != after.Type:
		return Replace
	case after.Type == File && (before.Size != after.Size || before.SHA256 != after.SHA256),
		after.Type == Link && before.Target != after.Target:
		return Update
	case after.Type != Link && before.Mode != after.Mode,
		s.Owner != "" && before.Owner != s.Owner,
		s.Group != "" && before.Group != s.Group:
		return Attributes
	}
	return ""
}

// topmost leaves out what goes with its folder, or with something that is replaced. A folder that
// holds something excluded stays.
func (s *Spec) topmost(gone []Change, have []Entry, others []Change) []Change {
	kept := map[string]bool{}
	if len(s.Exclude) > 0 {
		for i := range have {
			if s.excluded(have[i].Path) {
				for p := path.Dir(have[i].Path); p != "."; p = path.Dir(p) {
					kept[p] = true
				}
			}
		}
	}
	removed := map[string]bool{}
	for _, c := range others {
		if c.Action == Replace {
			removed[c.Path] = true
		}
	}
	slices.SortFunc(gone, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	var top []Change
	for _, c := range gone {
		if kept[c.Path] {
			continue
		}
		covered := false
		for p := path.Dir(c.Path); p != "." && !covered; p = path.Dir(p) {
			covered = removed[p]
		}
		if !covered {
			removed[c.Path] = true
			top = append(top, c)
		}
	}
	return top
}
