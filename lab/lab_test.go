package lab

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"phoenix-run/lab/proxmox"
)

var quick = proxmox.Speed{Clone: 5 * time.Millisecond, Start: -1, Stop: -1, Create: -1, Destroy: -1}

func start(t *testing.T, dir string) *Lab {
	t.Helper()
	l, err := Start(t.Context(), Options{Dir: dir, Speed: quick, BootTime: time.Millisecond, CloudInitTime: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// api sends a request with what lab.json says, and trusts the pinned certificate alone.
func api(t *testing.T, info Info, method, path string, params any) (status int, data any) {
	t.Helper()
	pin := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		sum := sha256.Sum256(s.PeerCertificates[0].Raw)
		if got := strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"); got != info.Fingerprint {
			return fmt.Errorf("certificate %s, want %s", got, info.Fingerprint)
		}
		return nil
	}}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pin, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	var body io.Reader
	if params != nil {
		text, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		body = strings.NewReader(string(text))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, info.URL+"/api2/json"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "PVEAPIToken="+info.Token)
	if params != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out struct{ Data any }
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, out.Data
}

// eventually repeats a look until it is satisfied.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func readLabFile(t *testing.T, dir string) Info {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "lab.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("lab.json: %v, %v", st.Mode(), err)
	}
	var info Info
	if err := json.Unmarshal(text, &info); err != nil {
		t.Fatal(err)
	}
	return info
}

func TestFreshLab(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir)
	info := readLabFile(t, dir)
	if info != l.Info() {
		t.Errorf("lab.json has %+v, Info %+v", info, l.Info())
	}
	if !strings.HasPrefix(info.URL, "https://127.") || !strings.HasSuffix(info.URL, ".1:8006") || info.Node != "pve" {
		t.Errorf("info %+v", info)
	}
	status, config := api(t, info, "GET", "/nodes/pve/qemu/9000/config", nil)
	tmpl, ok := config.(map[string]any)
	if status != 200 || !ok || tmpl["name"] != proxmox.DefaultTemplate || tmpl["template"] != float64(1) ||
		tmpl["scsi0"] != "local-zfs:base-9000-disk-0,size=2252M" || tmpl["serial0"] != "socket" || tmpl["agent"] != "1" {
		t.Errorf("template: %d %v", status, config)
	}
	var busy *BusyError
	if _, err := Start(t.Context(), Options{Dir: dir}); !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Errorf("second start: %v", err)
	}
	if got, running, err := Running(dir); err != nil || !running || got != info {
		t.Errorf("Running: %v %v", running, err)
	}
}

// TestMachineSurvivesARestart clones and starts a machine, restarts the lab, and finds it running, at
// the same address.
func TestMachineSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	l := start(t, dir)
	info := l.Info()
	vm := "/nodes/pve/qemu/1001"
	if status, data := api(t, info, "POST", "/nodes/pve/qemu/9000/clone", map[string]any{"newid": 1001, "name": "one"}); status != 200 {
		t.Fatalf("clone: %d %v", status, data)
	}
	eventually(t, "the clone", func() bool {
		status, config := api(t, info, "GET", vm+"/config", nil)
		return status == 200 && config.(map[string]any)["lock"] == nil
	})
	if status, data := api(t, info, "POST", vm+"/status/start", nil); status != 200 {
		t.Fatalf("start: %d %v", status, data)
	}
	up := func(info Info) func() bool {
		return func() bool {
			status, _ := api(t, info, "POST", vm+"/agent/ping", nil)
			return status == 200
		}
	}
	eventually(t, "the agent", up(info))
	address, err := l.address(1001)
	if err != nil {
		t.Fatal(err)
	}
	interfaces := func(info Info) string {
		_, data := api(t, info, "GET", vm+"/agent/network-get-interfaces", nil)
		return fmt.Sprint(data)
	}
	if got := interfaces(info); !strings.Contains(got, address) {
		t.Errorf("the guest's addresses %s don't hold its lease %s", got, address)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if again.Info().Token != info.Token || again.Info().Fingerprint != info.Fingerprint || again.Info().URL != info.URL {
		t.Errorf("after a restart %+v, before %+v", again.Info(), info)
	}
	eventually(t, "the agent after a restart", up(again.Info()))
	if got := interfaces(again.Info()); !strings.Contains(got, address) {
		t.Errorf("after a restart the guest's addresses are %s, not %s", got, address)
	}
}
