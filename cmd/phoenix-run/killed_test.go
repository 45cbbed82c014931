package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"phoenix-run/examples"
	"phoenix-run/lab"
	"phoenix-run/lab/proxmox"
	"phoenix-run/runner/event"
)

// asProgram makes the test's own binary be phoenix-run.
const asProgram = "PHOENIX_RUN_TEST_AS_PROGRAM"

// rehearsal is the guide's environment in a lab that outlives whatever becomes of the program.
type rehearsal struct {
	t   *testing.T
	dir string
	lab *lab.Lab
}

func newRehearsal(t *testing.T, o lab.Options) *rehearsal {
	t.Helper()
	r := &rehearsal{t: t, dir: t.TempDir()}
	sub, err := fs.Sub(examples.FS, "guide")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(r.dir, sub); err != nil {
		t.Fatal(err)
	}
	r.write("playbooks/inventory.star", inventoryPlaybook)
	o.Dir = filepath.Join(r.dir, "lab")
	o.Speed = proxmox.Speed{Clone: 5 * time.Millisecond, Start: -1, Stop: -1, Create: -1, Destroy: -1}
	if r.lab, err = lab.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// quickLab is a lab in which nothing takes its time.
var quickLab = lab.Options{BootTime: time.Millisecond, CloudInitTime: time.Millisecond, InstallTime: time.Millisecond}

// inventoryPlaybook prints what is on the machines, but for what is different each time: keys, ids, times.
const inventoryPlaybook = `
SCRIPT = """
for d in /etc/docker /etc/apt/apt.conf.d /var/lib/phoenix-run/stacks; do
	find $d -type f 2>/dev/null
done | sort | while read -r f; do echo "$f $(stat -c '%a %U %G' "$f") $(sha256sum < "$f")"; done
dpkg-query -W
docker ps --format '{{.Names}} {{.Image}}' | sort
"""

def main():
    for vm in config.vms():
        print(vm.name, proxmox.find(vm.id).host().command(SCRIPT, read_only = True).stdout)
`

func (r *rehearsal) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// program is phoenix-run with these arguments, not started.
func (r *rehearsal) program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"--lab", "--lab-dir", "lab"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// must runs phoenix-run to its good end and gives what it printed.
func (r *rehearsal) must(args ...string) string {
	r.t.Helper()
	cmd := r.program(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("phoenix-run %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// changes counts the requests so far that changed something in the lab.
func (r *rehearsal) changes() int {
	text, err := os.ReadFile(filepath.Join(r.dir, "lab", "requests.jsonl"))
	if err != nil {
		r.t.Fatal(err)
	}
	return bytes.Count(text, []byte(`"changed":true`))
}

// state is all that must be the same however the environment came up.
func (r *rehearsal) state() string {
	r.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(r.must("--output", "json", "inventory")) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			r.t.Fatal(err)
		}
		if e.Type == event.Log {
			b.WriteString(e.Message + "\n")
		}
	}
	return b.String()
}

// TestKilledAgainAndAgain: the program is killed with signal 9 a dozen times on its way through the guide's
// environment, each time a little further on, and run again or resumed. It ends where a run ends that
// nobody killed.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const kills = 12
	whole := newRehearsal(t, quickLab)
	start := whole.changes()
	whole.must("letsgo")
	total := whole.changes() - start
	if total < 3*kills {
		t.Fatalf("only %d changes: too few to be killed between", total)
	}

	r := newRehearsal(t, quickLab)
	killed := 0
	for range kills {
		args := []string{"letsgo"}
		if ids := r.runs(); len(ids) > 0 && killed%2 == 1 {
			args = []string{"--yes", "resume", ids[0]}
		}
		cmd := r.program(args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		from := r.changes()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		over := false
		for !over && r.changes()-from < total/(kills+1) {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("after %d kills it failed by itself: %v\n%s", killed, err, out.Bytes())
				}
				over = true
			case <-time.After(time.Millisecond):
			}
		}
		if over {
			break
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			break // it was faster
		}
		killed++
	}
	t.Logf("killed %d times on a way of %d changes", killed, total)
	if killed < kills/2 {
		t.Errorf("it was killed only %d times", killed)
	}
	r.must("letsgo")
	if out := r.must("--dry-run", "letsgo"); !strings.Contains(out, "nothing would change") {
		t.Errorf("there is something left to do:\n%s", out)
	}
	if got, want := r.state(), whole.state(); got != want {
		t.Errorf("it ended elsewhere:\n%s", udiff.Unified("uninterrupted", "killed", want, got))
	}
}

// runs lists the runs that the journal has, newest first.
func (r *rehearsal) runs() []string {
	r.t.Helper()
	var ids []string
	for i, line := range strings.Split(r.must("runs"), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) > 0 && !strings.Contains(line, "before it began") {
			ids = append(ids, f[0])
		}
	}
	return ids
}
