package proxmox_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	lab "phoenix-run/lab/proxmox"
	"phoenix-run/lab/record"
	"phoenix-run/pve/pveschema"
)

// checkSchema checks every request that the lab has recorded against Proxmox's own description of its
// API, that of the release that the lab spoke as.
func checkSchema(t testing.TB, version lab.Version, log string) {
	t.Helper()
	release := pveschema.Releases[0]
	if version == lab.V8 {
		release = pveschema.Releases[1]
	}
	schema, err := pveschema.Find(release)
	if errors.Is(err, pveschema.ErrNotThere) && os.Getenv("CI") == "" {
		t.Logf("NOT CHECKED: %v", err)
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	f, err := os.Open(log)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	checked := map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e record.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Error(err)
		}
		if e.Service != record.Proxmox {
			continue
		}
		if err := schema.Check(e.Method, strings.TrimPrefix(e.Path, "/api2/json"), e.Params); err != nil && !checked[err.Error()] {
			checked[err.Error()] = true
			t.Errorf("%s %s: %v", e.Method, e.Path, err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}
