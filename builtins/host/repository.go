package host

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type repositoryArgs struct {
	Name          string       `star:"name" doc:"what its files are called"`
	URL           string       `star:"url" default:"\"\"" doc:"where it is"`
	Suites        []string     `star:"suites" default:"None" doc:"such as \"bookworm\"; \"./\" for one without any"`
	Components    []string     `star:"components" default:"[\"main\"]" doc:"of the suites; none with \"./\""`
	Key           builtin.Text `star:"key" default:"None" doc:"the key that signs it, as text (-----BEGIN PGP PUBLIC KEY BLOCK-----)"`
	KeyURL        string       `star:"key_url" default:"\"\"" doc:"in place of key: where the machine fetches it"`
	KeySHA256     string       `star:"key_sha256" default:"\"\"" doc:"the checksum of what key_url gives"`
	Architectures []string     `star:"architectures" default:"[]" doc:"those that are looked at; the machine's own, if empty"`
	State         string       `star:"state" default:"\"present\"" doc:"present or absent"`
}

var aptRepository = builtin.Method(builtin.Spec{
	Name: "apt_repository", Effect: builtin.Operation, Returns: "result",
	Summary: "A package archive for apt, with the one key that may sign it (/etc/apt/sources.list.d/NAME.sources). The lists are fetched anew before the next package is installed.",
	Errors:  []string{"There is no key: an archive that anyone may sign is none.", "The key can't be fetched, or has another checksum."},
	Example: "host.apt_repository(\"docker\", url = \"https://download.docker.com/linux/debian\", suites = \"bookworm\", components = \"stable\", key = KEY)",
}, func(c *builtin.Call, h *Host, a repositoryArgs) (starlark.Value, error) {
	gone, err := isAbsent("apt_repository", a.State)
	if err != nil {
		return nil, err
	}
	if !fileName(a.Name) {
		return nil, fmt.Errorf("apt_repository: %q is no file name", a.Name)
	}
	keyFile := "/etc/apt/keyrings/" + a.Name + ".asc"
	o := &fileOp{h: h, kind: "apt_repository", id: a.Name, path: "/etc/apt/sources.list.d/" + a.Name + ".sources", gone: gone,
		want: op.Attrs{"type": "file", "mode": "0644", "owner": "root", "group": "root"},
		predict: func(v *op.View, change op.Change) {
			v.Put(h.key("package-lists", "refreshed"), op.Change{Action: op.Delete}) // they have to be fetched again
		}}
	if gone {
		return doAll(c, o, &absentOp{h: h, path: keyFile})
	}
	o.want["content"], err = a.text(keyFile)
	if err != nil {
		return nil, fmt.Errorf("apt_repository: %w", err)
	}
	operations := []op.Operation{o}
	if a.KeyURL != "" {
		want := op.Attrs{"type": "file", "mode": "0644"}
		if a.KeySHA256 != "" {
			want["sha256"] = a.KeySHA256
		}
		operations = []op.Operation{
			&directoryOp{h: h, path: "/etc/apt/keyrings", want: op.Attrs{"type": "directory"}},
			&downloadOp{fileOp{h: h, path: keyFile, want: want}, downloadArgs{URL: a.KeyURL, Path: keyFile, SHA256: a.KeySHA256}},
			o,
		}
	}
	return doAll(c, operations...)
})

// text is the file in the deb822 format, which holds the key itself.
func (a repositoryArgs) text(keyFile string) (string, error) {
	if a.URL == "" || len(a.Suites) == 0 {
		return "", fmt.Errorf("url and suites are needed")
	}
	key, hasKey := a.Key.Reveal()
	if hasKey == (a.KeyURL != "") {
		return "", fmt.Errorf("give either key or key_url: an archive that anyone may sign is none")
	}
	for _, s := range append(append([]string{a.URL}, a.Suites...), append(a.Components, a.Architectures...)...) {
		if s == "" || strings.ContainsAny(s, " \t\n") {
			return "", fmt.Errorf("%q holds a blank, or nothing", s)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Kept by phoenix-run.\nTypes: deb\nURIs: %s\nSuites: %s\n", a.URL, strings.Join(a.Suites, " "))
	if !strings.HasSuffix(a.Suites[0], "/") {
		fmt.Fprintf(&b, "Components: %s\n", strings.Join(a.Components, " "))
	}
	if len(a.Architectures) > 0 {
		fmt.Fprintf(&b, "Architectures: %s\n", strings.Join(a.Architectures, " "))
	}
	if !hasKey {
		fmt.Fprintf(&b, "Signed-By: %s\n", keyFile)
		return b.String(), nil
	}
	if !strings.HasPrefix(strings.TrimSpace(key), "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
		return "", fmt.Errorf("key: this is no public key as text")
	}
	b.WriteString("Signed-By:\n")
	for line := range strings.Lines(strings.TrimSpace(key)) {
		if line = strings.TrimSpace(line); line == "" {
			line = "." // an empty line would end the entry
		}
		b.WriteString(" " + line + "\n")
	}
	return b.String(), nil
}
