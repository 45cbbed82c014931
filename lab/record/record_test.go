package record

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestLogKeepsEntriesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	const writers, each = 8, 50
	for range 2 { // the second opening appends
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for n := range each {
					if err := l.Add(Entry{Service: Proxmox, Host: "pve", Method: "PUT", Path: "/x", Status: 200, Changed: n%2 == 0}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		var e Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil || e.Service != Proxmox || e.Time.IsZero() {
			t.Fatalf("line %d: %q: %v", lines, s.Text(), err)
		}
	}
	if lines != 2*writers*each {
		t.Errorf("%d lines", lines)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
