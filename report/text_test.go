package report_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"phoenix-run/report"
	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

func operation(status event.Status, host, id string, c *event.Change) event.Event {
	return event.Event{Type: event.Operation, Status: status, Host: host, Address: host + "/" + id, Change: c, Position: "p.star:3:5"}
}

// shown is what a run with these events looks like.
func shown(t *testing.T, events ...event.Event) string {
	t.Helper()
	var b strings.Builder
	sink, err := report.New(report.Plain, &b, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		sink.Emit(e)
	}
	return b.String()
}

func TestPlanReadsWell(t *testing.T) {
	install := &op.Cause{Address: op.Address{Host: "web", Kind: "package", ID: "nginx"}, Why: "installs packages"}
	got := shown(t,
		event.Event{Type: event.RunStart, Mode: "plan"},
		operation(event.Changed, "web", "package:nginx", &event.Change{Action: op.Update, Confidence: op.Certain,
			Before: op.Attrs{"nginx": "absent", "jq": "absent"}, After: op.Attrs{"nginx": "installed", "jq": "installed"}}),
		operation(event.Changed, "web", "file:/etc/a", &event.Change{Action: op.Create, Confidence: op.Likely, Cause: install,
			After: op.Attrs{"type": "file", "mode": "0644", "owner": "root", "content": "one\ntwo\n"}}),
		operation(event.Changed, "db", "file:/etc/b", &event.Change{Action: op.Update, Confidence: op.Certain,
			Before: op.Attrs{"content": "one\ntwo\n"}, After: op.Attrs{"content": "one\n2\n"}}),
		operation(event.Changed, "db", "environment:x", &event.Change{Action: op.Update, Confidence: op.Uncertain, Unknown: []string{"url"},
			Before: op.Attrs{"url": "a"}, After: op.Attrs{"url": op.Unknown{}}}),
		operation(event.OK, "web", "service:nginx", &event.Change{Action: op.None, Confidence: op.Likely, Cause: install}),
		event.Event{Type: event.Task, Status: event.Deferred, Host: "web", Position: "p.star:9:8", Message: "planned up to here; the rest depends on stdout of web/command:x",
			Error: &event.Error{Excerpt: "    9 |     if said:\n      |        ^"}},
		event.Event{Type: event.RunEnd, Plan: &event.Counts{Certain: 2, Likely: 1, Unknown: 1, Deferred: 1, Unchanged: 1}},
	)
	const want = `
db
   1 ~ file /etc/b  p.star:3:5
       content:
         --- now
         +++ then
         @@ -1,2 +1,2 @@
          one
         -two
         +2
   2 ~ environment x  [unknown: url decides]  p.star:3:5
       url: "a" → (known after apply)

web
   3 ~ package nginx  p.star:3:5
       jq, nginx: "absent" → "installed"
   4 + file /etc/a  [likely, after step 3]  p.star:3:5
       mode: "0644", owner: "root"
       content:
         +one
         +two
   … planned up to here; the rest depends on stdout of web/command:x
       at p.star:9:8
         9 |     if said:
           |        ^
       known(x) asks whether a value is known, x.or_plan(value) gives the plan one to go on with
   = nothing to do as things are, unless step 3 changes that: service nginx

What is likely depends on steps whose whole effect nobody can list:
  step 3: web/package:nginx installs packages

Plan: 1 to create, 3 to update. 2 certain, 1 likely, 1 unknown; 1 likely to find nothing to do; 1 planned only in part.
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFailureReadsWell(t *testing.T) {
	failure := &event.Error{Message: "host web: package nginx: exit status 100:\n  E: Version 1.24 was not found",
		Backtrace: []string{"site.star:14:8 in main", "site.star:9:5 in web"}, Excerpt: "    9 |     host.package([\"nginx=1.24\"])\n      |                 ^"}
	failed := operation(event.Failed, "web", "package:nginx", nil)
	failed.Error = &event.Error{Message: "exit status 100"}
	got := shown(t, event.Event{Type: event.RunStart, Mode: "apply"}, failed,
		event.Event{Type: event.RunEnd, Status: event.Failed, Error: failure, Counts: map[event.Status]int{event.Failed: 1}})
	const want = `web | failed  package nginx
    exit status 100

error: host web: package nginx: exit status 100:
  E: Version 1.24 was not found
  site.star:14:8 in main
  site.star:9:5 in web
    9 |     host.package(["nginx=1.24"])
      |                 ^

host  ok  changed  failed  skipped  time
web   0   0        1       0        0s

Failed: 0 changed, 1 failed in 0s.
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
