package pveschema_test

import (
	"strings"
	"testing"

	"phoenix-run/pve/pveschema"
)

func TestCheck(t *testing.T) {
	s := pveschema.Open(t, pveschema.Releases[0])
	for _, tt := range []struct {
		verb, path string
		params     map[string]any
		want       string
	}{
		{"GET", "/cluster/resources", map[string]any{"type": "vm"}, ""},
		{"GET", "/cluster/resources", map[string]any{"type": "car"}, "is none of"},
		{"GET", "/nowhere", nil, "no such path"},
		{"PATCH", "/nodes", nil, "no such method"},
		{"POST", "/nodes/pve/qemu/9000/clone", map[string]any{"newid": 1001.0, "name": "web"}, ""},
		{"POST", "/nodes/pve/qemu/9000/clone", map[string]any{"newid": 7}, "less than"},
		{"POST", "/nodes/pve/qemu/9000/clone", map[string]any{"name": "web"}, "newid is missing"},
		{"POST", "/nodes/pve/qemu/9000/clone", map[string]any{"newid": 1001, "nmae": "web"}, "no parameter nmae"},
		{"POST", "/nodes/pve/qemu/9000/clone", map[string]any{"newid": 1001, "name": "we b"}, "is no dns-name"},
		{"PUT", "/nodes/pve/qemu/1001/config", map[string]any{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}, ""},
		{"PUT", "/nodes/pve/qemu/1001/config", map[string]any{"net0": "virtio=BC:24:11,bridge=vmbr0"}, "part virtio"},
		{"PUT", "/nodes/pve/qemu/1001/config", map[string]any{"net0": "virtio,brigde=vmbr0"}, `no part "brigde"`},
		{"PUT", "/nodes/pve/qemu/1001/config", map[string]any{"cores": "two"}, "is no integer"},
		{"PUT", "/nodes/pve/qemu/1001/config", map[string]any{"sshkeys": "ssh-ed25519 AAAA"}, "is no urlencoded"},
		{"POST", "/nodes/pve/qemu/1001/agent/exec", map[string]any{"command": []any{"/bin/true"}}, ""},
	} {
		err := s.Check(tt.verb, tt.path, tt.params)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s %v: got %v, want %q", tt.verb, tt.path, tt.params, err, tt.want)
		}
	}
}
