package layertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"phoenix-run/lab"
)

// pieces are what variables' values are made of: all that dotenv, compose and shells give a meaning to.
var pieces = []string{"a", "Z", "0", " ", "  ", "\t", "$", "$$", "${X}", "${X:-y}", "$X", "'", `"`, `\`, `\\`, `\n`, "\n", "\r\n", "#", " #", "=", ":", "`", "%", "!", "é", "日本", "🔥", "\u00a0",
	"{", "}", "[", "-", "&", "*", "|", ">", "@", ",", ";", "(", ")", "~", "/", "\x01", "\x7f", "null", "true", "1e3", "0x1f"}

const pemKey = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n"

// manyValues are 200 values, by the variables' names: some that are known to be hard, and others drawn.
// They are the same each time.
func manyValues() map[string]string {
	values := []string{"", " ", `\`, `a\`, `'`, `"`, `''`, `""`, "$", "$$", "a#b", "a #b", "#", "=", "pa$word", "pa$$word", "it's $5 #1 \"now\"", "'quoted'", `"quoted"`,
		"\n", "a\nb", "a\n", "\na", "a\r\nb", "  both  ", pemKey, "${PATH}", "$(id)", "`id`", "true", "null", "0123", "1.10", "~", "é日本🔥", "trailing \\", "\\$", "\\\"", "export A=b"}
	draw := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces"), "")
	})
	for i := 0; len(values) < 200; i++ {
		values = append(values, draw.Example(i))
	}
	all := map[string]string{}
	for i, v := range values {
		all[fmt.Sprintf("V%03d", i)] = v
	}
	return all
}

// valuesStack adds a stack with all those variables to a configuration: on apps, with one service.
func (w *world) valuesStack(values map[string]string, service string) {
	w.t.Helper()
	compose := "services:\n  all:\n" + service + "    environment:\n"
	var list []map[string]string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		compose += fmt.Sprintf("      %s: ${%[1]s}\n", name)
		list = append(list, map[string]string{"name": name, "value": values[name]})
	}
	w.set("values.yml", compose)
	text, err := json.Marshal(list)
	if err != nil {
		w.t.Fatal(err)
	}
	w.change("phoenix_stacks_config.json", `"plain": {`, `"values": { "compose_file_path": "values.yml", "variables": `+string(text)+` }, "plain": {`)
	w.change("phoenix_vm_configs.json", `"shop", "plain"`, `"shop", "values", "plain"`)
}

// Two hundred values of variables reach the container's environment byte for byte, and come back as no
// difference.
func TestValuesReachTheContainer(t *testing.T) {
	values := manyValues()
	for _, v := range []string{versions[0], versions[len(versions)-1]} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lab.Options{})
			w.version(v)
			w.valuesStack(values, "    image: nginx:1\n")
			w.must("sync", "portainer")
			same(t, w.environ("1002", "values-all-1"), values)
			w.quiet("sync", "portainer")
		})
	}
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if have, there := got[name]; !there || have != value {
			t.Errorf("%s: %q became %q (%v)", name, value, have, there)
		}
	}
}
