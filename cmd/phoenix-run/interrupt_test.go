package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"phoenix-run/lab"
	"phoenix-run/runner/event"
)

// TestInterrupt: Ctrl-C during a wait of five minutes ends it, whatever it waits for: within a second on a
// machine that has nothing else to do, and here within twenty.
func TestInterrupt(t *testing.T) {
	const limit = 20 * time.Second
	up := `
def main():
    vm = proxmox.vm(1001)
    vm.start()
    vm.wait_for_agent()
    vm.wait_for_cloud_init()
    host = vm.host()
    `
	ready := newRehearsal(t, quickLab)
	for _, tt := range []struct {
		name, text string
		lab        *rehearsal
		until      string // the message of the event after which Ctrl-C comes
	}{
		{"guest agent", "def main():\n    vm = proxmox.vm(1001)\n    vm.start()\n    vm.wait_for_agent(timeout = \"5m\")\n",
			newRehearsal(t, lab.Options{BootTime: time.Hour}), "waiting for the guest agent"},
		{"cloud-init", "def main():\n    vm = proxmox.vm(1001)\n    vm.start()\n    vm.wait_for_agent()\n    vm.wait_for_cloud_init(timeout = \"5m\")\n",
			newRehearsal(t, lab.Options{BootTime: time.Millisecond, CloudInitTime: time.Hour}), "waiting for cloud-init"},
		{"port", up + "host.wait_for(port = 4, timeout = \"5m\")\n", ready, "waiting for port 4"},
		{"path", up + "host.wait_for(path = \"/never\", timeout = \"5m\")\n", ready, "waiting for /never"},
		{"command that fails", up + "host.wait_for(command = \"false\", timeout = \"5m\")\n", ready, "waiting for the command false"},
		{"command that hangs", up + "host.wait_for(command = \"sleep 300\", timeout = \"5m\")\n", ready, "waiting for the command sleep 300"},
		{"answer of a stack", up + "portainer.server(vm).expect(vm, {\"port\": 4})\n", ready, "waiting for 127."},
		{"several at once", up + "each([\"/a\", \"/b\", \"/c\"], lambda p: host.wait_for(path = p, timeout = \"5m\"))\n", ready, "waiting for /a"},
		{"guard of a command", up + "print(\"now\")\n    host.command(\"true\", unless = \"sleep 300\")\n", ready, "now"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.lab.write("playbooks/waiting.star", tt.text)
			cmd := tt.lab.program("--output", "json", "-v", "waiting")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill() //nolint:errcheck // most often it has ended
			var told []string
			var sent time.Time
			lines := bufio.NewScanner(out)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				told = append(told, lines.Text())
				var e event.Event
				if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
					t.Fatal(err)
				}
				if sent.IsZero() && strings.HasPrefix(e.Message, tt.until) && (e.Type == event.Begin || e.Type == event.Log) {
					sent = time.Now()
					if err := cmd.Process.Signal(os.Interrupt); err != nil {
						t.Fatal(err)
					}
				}
			}
			err = cmd.Wait()
			if sent.IsZero() {
				t.Fatalf("it never came to wait:\n%s\n%s", strings.Join(told, "\n"), stderr.String())
			}
			took := time.Since(sent)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
				t.Errorf("it ended with %v, want exit status %d\n%s\n%s", err, exitInterrupted, strings.Join(told, "\n"), stderr.String())
			}
			if took > limit {
				t.Errorf("it ended %s after Ctrl-C", took)
			}
			t.Logf("ended %s after Ctrl-C", took.Round(time.Millisecond))
			if !strings.Contains(stderr.String(), "phoenix-run resume") {
				t.Errorf("it does not say how to go on: %s", stderr.String())
			}
		})
	}
}
