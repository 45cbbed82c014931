package config

import (
	"regexp"
	"slices"
	"strings"
)

// check holds the rules of a stack that need no other one.
func (s *Stack) check(r *report, n *node) {
	compose, git := n.get("compose_file_path"), n.get("git")
	switch {
	case compose != nil && git != nil:
		r.fault(git, "compose_file_path and git exclude each other; keep one of them (git has a compose_file_path of its own)")
	case compose == nil && git == nil && !slices.ContainsFunc(n.members, func(m member) bool {
		return nearest(m.key.text, []string{"compose_file_path"}) != "" || m.key.text == "url"
	}):
		r.fault(n, "the stack has no compose file: give compose_file_path, or git")
	}
	checkVariables(r, n.get("variables"))
	envs := n.get("environments")
	if envs == nil {
		return
	}
	for _, m := range envs.members {
		if !environmentRE.MatchString(m.key.text) {
			r.fault(m.key, "an environment's name has letters, digits, _ . and -")
		}
		if files := m.value.get("files"); git != nil && files != nil && len(files.items) > 0 {
			r.fault(files, "files can't be mounted into a compose file that Portainer takes from a Git repository: use compose_file_path, or keep the files in the repository")
		}
	}
}

var environmentRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func (e *Environment) check(r *report, n *node) {
	checkVariables(r, n.get("variables"))
	files := n.get("files")
	if files == nil {
		return
	}
	type target struct{ service, path string }
	first := map[target]*node{}
	for i, f := range e.Files {
		at := files.item(i).get("destination_in_container")
		key := target{f.Service, f.Destination}
		if at == nil || f.Destination == "" {
			continue
		}
		if other, twice := first[key]; twice {
			r.fault(at, "%q is given twice: first as %s on %s", f.Destination, other.path, other.where())
			continue
		}
		first[key] = at
	}
}

// checkVariables refuses a variable that is given twice in one list.
func checkVariables(r *report, list *node) {
	if list == nil {
		return
	}
	first := map[string]*node{}
	for _, item := range list.items {
		name := item.get("name")
		if name == nil || name.kind != kindString {
			continue
		}
		if other, twice := first[name.text]; twice {
			r.fault(name, "%q is given twice: first as %s on %s", name.text, other.path, other.where())
			continue
		}
		first[name.text] = name
	}
}

// secretName matches names of variables that hold secrets, as people name them.
var secretName = regexp.MustCompile(`(?i)((^|_)pass|passwd|password|passphrase|secret|token|(api|private|secret|access|encryption|signing)_?key)$`)

// check decides whether a variable is secret where the file does not say it.
func (v *Variable) check(r *report, n *node) {
	value := n.get("value")
	if value == nil {
		return
	}
	literal, plain := v.Value.Literal()
	if plain && strings.ContainsRune(literal.Reveal(), 0) {
		r.fault(value, "holds a NUL character; no variable can")
	}
	named := secretName.MatchString(v.Name)
	if n.get("secret") == nil {
		v.Secret = !plain && !v.Value.IsZero() || named
	}
	switch {
	case !v.Secret || !plain || literal.IsZero():
	case n.get("secret") == nil:
		r.warn(value, "%s. It is treated as a secret for its name; \"secret\": false says that it is none", plainSecret)
	default:
		r.warn(value, "%s", plainSecret)
	}
}

// NormalStackName returns the name that Portainer gives a stack: lower case, without any character
// but a-z, 0-9, - and _ (its API does so silently).
func NormalStackName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// checkStacks holds the rules that concern several stacks, or other files.
func (l *loader) checkStacks() {
	list := l.stackRoot.get("docker_stacks")
	if list == nil {
		return
	}
	taken := map[string]*node{}
	for _, m := range list.members {
		l.checkStackName(m.key, taken)
		l.checkInput(m.value.get("compose_file_path"))
		envs := m.value.get("environments")
		if envs == nil {
			continue
		}
		for _, env := range envs.members {
			files := env.value.get("files")
			if files == nil {
				continue
			}
			for _, f := range files.items {
				l.checkInput(f.get("source"))
			}
		}
	}
}

func (l *loader) checkStackName(key *node, taken map[string]*node) {
	normal := NormalStackName(key.text)
	switch first := taken[normal]; {
	case normal == PortainerStack:
		l.report.fault(key, "the name %s is built in: it makes a machine the Portainer server; take another name", PortainerStack)
	case normal == "":
		l.report.fault(key, "%q has no character that Portainer keeps in a stack's name: a-z, 0-9, _ or -", key.text)
	case normal[0] == '-' || normal[0] == '_':
		l.report.fault(key, "%q becomes %q in Portainer; a stack's name must start with a letter or digit", key.text, normal)
	case first != nil:
		l.report.fault(key, "%q and %q (%s) are both %q in Portainer; rename one of them", key.text, first.text, first.where(), normal)
	default:
		taken[normal] = key
	}
}

// checkInput refuses a file that can't be read.
func (l *loader) checkInput(at *node) {
	if at == nil || at.kind != kindString || at.text == "" {
		return
	}
	if _, err := l.input(at.text); err != nil {
		l.report.fault(at, "%q can't be read: %v (looked at %s)", at.text, err, locate(l.dir, at.text))
	}
}
