package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openTestNetwork(t *testing.T, dir string) *network {
	t.Helper()
	n, err := openNetwork(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.close() })
	return n
}

func mustLease(t *testing.T, n *network, id int, alive map[int]bool) (ip string, fresh bool) {
	t.Helper()
	host, fresh, err := n.lease(id, func() map[int]bool { return alive })
	if err != nil {
		t.Fatal(err)
	}
	return n.machine(host), fresh
}

func TestLeasesStay(t *testing.T) {
	dir := t.TempDir()
	n := openTestNetwork(t, dir)
	first, fresh := mustLease(t, n, 1001, nil)
	if !fresh || !strings.HasSuffix(first, ".10") || !strings.HasPrefix(first, "127.") {
		t.Errorf("first lease %s, fresh %v", first, fresh)
	}
	second, _ := mustLease(t, n, 1002, nil)
	if second == first {
		t.Error("two machines with one address")
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	again := openTestNetwork(t, dir)
	if ip, fresh := mustLease(t, again, 1001, nil); ip != first || fresh {
		t.Errorf("after a restart: %s, fresh %v", ip, fresh)
	}
}

func TestLeasesOfTheDeadAreGivenOutAgain(t *testing.T) {
	n := openTestNetwork(t, t.TempDir())
	alive := map[int]bool{}
	for id := range lastGuest - firstGuest + 1 {
		mustLease(t, n, 100+id, nil)
		alive[100+id] = true
	}
	if _, _, err := n.lease(5000, func() map[int]bool { return alive }); err == nil || !strings.Contains(err.Error(), "no address left for VM 5000") {
		t.Errorf("error %v", err)
	}
	gone, _ := mustLease(t, n, 105, nil)
	delete(alive, 105)
	if ip, fresh := mustLease(t, n, 5000, alive); ip != gone || !fresh {
		t.Errorf("got %s, want %s", ip, gone)
	}
}

func TestTwoLabsOneBlock(t *testing.T) {
	dir := t.TempDir()
	n := openTestNetwork(t, dir)
	// The same folder's name hashes to the same block: whoever comes second takes the next.
	if err := os.Remove(filepath.Join(dir, "network.json")); err != nil {
		t.Fatal(err)
	}
	other := openTestNetwork(t, dir)
	if other.Block == n.Block {
		t.Errorf("both have %s", n.Block)
	}
	// A remembered block that someone else uses is an error, not another block: addresses must not move.
	if _, err := openNetwork(dir); err == nil || !strings.Contains(err.Error(), "are in use by another program") {
		t.Errorf("error %v", err)
	}
}

func TestOneProcessALab(t *testing.T) {
	dir := t.TempDir()
	if _, running, err := Running(dir); err != nil || running {
		t.Errorf("empty folder: running %v, %v", running, err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(filepath.Join(dir, "lab.json"), Info{PID: 4711, URL: "https://127.1.2.3:8006"}); err != nil {
		t.Fatal(err)
	}
	_, err = takeLock(dir)
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != 4711 || !strings.Contains(err.Error(), "in use by process 4711: stop it, or use another folder (--lab-dir)") {
		t.Errorf("error %v", err)
	}
	if info, running, err := Running(dir); err != nil || !running || info.URL != "https://127.1.2.3:8006" {
		t.Errorf("running %v, %+v, %v", running, info, err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if _, running, err := Running(dir); err != nil || running {
		t.Errorf("left: running %v, %v", running, err)
	}
}

func TestKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id_ed25519")
	one, err := openKey(path)
	if err != nil || !strings.HasPrefix(one, "ssh-ed25519 ") {
		t.Fatal(one, err)
	}
	if two, err := openKey(path); err != nil || two != one {
		t.Errorf("again: %s, %v", two, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
