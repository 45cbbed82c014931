package proxmox

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// once makes the first request with this method and path's ending go wrong.
func once(method, ending string, f Fault) Faults {
	return FaultFunc(func(r Request) Fault {
		if r.Method == method && strings.HasSuffix(r.Path, ending) && r.Nth == 1 {
			return f
		}
		return Fault{}
	})
}

func TestFaults(t *testing.T) {
	lock := LockTimeout("9000")
	clone := obj{"newid": 100}
	for _, tc := range []struct {
		name  string
		fault Fault
		line  string // of the clone request; "" if the connection ends
		exit  string // of its task, if there is an answer with one
		made  bool   // the clone is there in the end
	}{
		{name: "lock timeout", fault: Fault{Refuse: &lock}, line: "500 can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout"},
		{name: "node unreachable", fault: Fault{Refuse: &NodeUnreachable}, line: "595 No route to host"},
		{name: "596 after the work", fault: Fault{Replace: &ConnectionTimedOut}, line: "596 Connection timed out", made: true},
		{name: "599", fault: Fault{Refuse: &TooManyRedirections}, line: "599 Too many redirections"},
		{name: "cut before", fault: Fault{CutBefore: true}},
		{name: "cut after", fault: Fault{CutAfter: true}, made: true},
		{name: "task fails", fault: Fault{Task: TaskFault{Fail: "it did not work"}}, line: "200 OK", exit: "it did not work"},
		{name: "task warns", fault: Fault{Task: TaskFault{Warnings: []string{"a", "b"}}}, line: "200 OK", exit: "WARNINGS: 2", made: true},
		{name: "slow", fault: Fault{Delay: 30 * time.Millisecond, Task: TaskFault{Slow: 50 * time.Millisecond}}, line: "200 OK", exit: "OK", made: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, func(o *Options) { o.Faults = once("POST", "/clone", tc.fault) })
			start := time.Now()
			a, err := l.try("POST", "/nodes/pve/qemu/9000/clone", clone)
			if (err != nil) != (tc.line == "") || a.line != tc.line {
				t.Fatalf("%q, %v, want %q", a.line, err, tc.line)
			}
			if tc.exit != "" {
				if exit := l.exit(a.data(t).(string)); exit != tc.exit {
					t.Errorf("exit %s", exit)
				}
			}
			if took := time.Since(start); took < tc.fault.Delay+tc.fault.Task.Slow {
				t.Errorf("took %v", took)
			}
			there := func() bool { return l.do("GET", "/nodes/pve/qemu/100/status/current", nil).line == "200 OK" }
			if tc.made {
				waitFor(l, there)
			} else if there() {
				t.Error("the clone was made")
			}
		})
	}
}

func TestFaultsOfTicketsAndAgents(t *testing.T) {
	t.Parallel()
	l := startLab(t, func(o *Options) {
		o.Faults = FaultFunc(func(r Request) Fault {
			return Fault{Expire: r.Path == "/nodes" && r.Nth == 2, AgentGone: strings.HasSuffix(r.Path, "/ping") && r.Nth == 1}
		})
	})
	vm := l.running(100)
	if a := l.do("POST", vm+"/agent/ping", nil); a.line != "500 QEMU guest agent is not running" {
		t.Error(a.line)
	}
	l.ok("POST", vm+"/agent/ping", nil)
	l.login("root@pam", "geheim")
	l.ok("GET", "/nodes", nil)
	if a := l.do("GET", "/nodes", nil); a.line != "401 permission denied - invalid PVE ticket" {
		t.Error(a.line)
	}
	l.login("root@pam", "geheim")
	l.ok("GET", "/nodes", nil)
}

func TestRandomFaultsFollowTheirSeed(t *testing.T) {
	describe := func(f Fault) string {
		return fmt.Sprintf("%v %v %v %v %v %v %v %+v", f.Delay, f.Refuse, f.CutBefore, f.Replace, f.CutAfter, f.Expire, f.AgentGone, f.Task)
	}
	one, same, other := Random(1, 0.1), Random(1, 0.1), Random(2, 0.1)
	kinds, faulty, differ := map[string]bool{}, 0, 0
	for n := range 4000 {
		r := Request{Seq: n, Nth: n, Method: []string{"POST", "GET"}[n%2], Path: "/nodes/pve/qemu/100/status/start"}
		a, b := describe(one.Fault(r)), describe(same.Fault(r))
		if strings.ReplaceAll(a, "0x", "") == "" || len(a) != len(b) {
			t.Fatalf("same seed, other fault: %s and %s", a, b)
		}
		if a != describe(Fault{}) {
			faulty++
			kinds[kindOf(one.Fault(r))] = true
		}
		if kindOf(one.Fault(r)) != kindOf(other.Fault(r)) {
			differ++
		}
	}
	if faulty < 300 || faulty > 500 {
		t.Errorf("%d of 4000 went wrong at 10%%", faulty)
	}
	if len(kinds) < 9 || differ == 0 {
		t.Errorf("kinds of faults: %v; other seed differs in %d", maps.Collect(maps.All(kinds)), differ)
	}
}

func kindOf(f Fault) string {
	switch {
	case f.Refuse != nil:
		return f.Refuse.Reason
	case f.Replace != nil:
		return f.Replace.Reason
	case f.CutBefore, f.CutAfter:
		return fmt.Sprint("cut before: ", f.CutBefore)
	case f.Task.Fail != "":
		return "task fails"
	case f.Task.Slow > 0:
		return "task slow"
	case len(f.Task.Warnings) > 0:
		return "task warns"
	case f.Expire:
		return "expire"
	case f.Delay > 0:
		return "delay"
	}
	return ""
}

func TestLatency(t *testing.T) {
	t.Parallel()
	l := startLab(t, func(o *Options) { o.Latency = 20 * time.Millisecond })
	start := time.Now()
	l.ok("GET", "/version", nil)
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestStorageLockStopsTooManyFullClones(t *testing.T) {
	t.Parallel()
	l := startLab(t, func(o *Options) { o.Speed.Copy = 400 * time.Millisecond; o.Speed.StorageLock = 150 * time.Millisecond })
	l.task("POST", "/nodes/pve/qemu", obj{"vmid": 300, "scsi0": "ceph:8"})
	l.task("POST", "/nodes/pve/qemu/300/template", nil)
	for source, want := range map[string]string{
		"9000": "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-zfs' - got timeout",
		"300":  "clone failed: cfs-lock 'storage-ceph' error: got lock request timeout",
	} {
		var ids []string
		for n := range 4 {
			path := "/nodes/pve/qemu/" + source + "/clone"
			ids = append(ids, l.ok("POST", path, obj{"newid": 1000 + n + 10*len(source), "full": 1}).(string))
		}
		seen := map[string]int{}
		for _, id := range ids {
			seen[l.exit(id)]++
		}
		if seen["OK"] == 0 || seen[want] == 0 || seen["OK"]+seen[want] != 4 {
			t.Errorf("four at once: %v", seen)
		}
	}
}

func TestRequestLogSaysWhatChanged(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil)
	vm := l.running(100)
	l.ok("PUT", vm+"/config", obj{"cores": 2, "tags": "a"})
	l.ok("PUT", vm+"/config", obj{"cores": 2, "tags": "a"})
	l.ok("PUT", vm+"/config", obj{"cipassword": "streng-geheim"})
	l.task("POST", vm+"/status/start", nil)
	l.task("PUT", vm+"/resize", obj{"disk": "scsi0", "size": "2252M"})
	l.task("PUT", vm+"/resize", obj{"disk": "scsi0", "size": "+1G"})
	l.ok("GET", vm+"/config", nil)
	if a := l.do("PUT", vm+"/config", obj{"nonsense": 1}); !strings.HasPrefix(a.line, "400") {
		t.Error(a.line)
	}
	if err := l.s.Close(); err != nil { // the last tasks' entries are written by then
		t.Fatal(err)
	}
	var got []string
	for _, e := range l.requests() {
		if e.Method != "GET" {
			got = append(got, fmt.Sprintf("%s %s %d %v", e.Method, strings.TrimPrefix(e.Path, "/nodes/pve/qemu"), e.Status, e.Changed))
		}
		for name, v := range e.Params {
			if strings.Contains(fmt.Sprint(v), "geheim") {
				t.Errorf("the log shows %s", name)
			}
		}
		if e.Service != "proxmox" || e.Host != "pve" || e.Time.IsZero() || e.Method == "GET" && e.Changed {
			t.Errorf("entry %+v", e)
		}
	}
	// Entries of tasks come when the task has ended, so that the order may differ.
	want := map[string]int{
		"POST /9000/clone 200 true": 1, "POST /100/status/start 200 true": 1, "PUT /100/config 200 true": 2, "PUT /100/config 200 false": 1,
		"POST /100/status/start 200 false": 1, "PUT /100/resize 200 false": 1, "PUT /100/resize 200 true": 1, "PUT /100/config 400 false": 1,
	}
	have := map[string]int{}
	for _, e := range got {
		have[e]++
	}
	if !maps.Equal(have, want) {
		t.Errorf("log %v, want %v", have, want)
	}
}
