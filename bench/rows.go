package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// child runs a part of this program as a process of its own.
func (l *lab) child(ctx context.Context, part string, servers []*server, far bool, source, root string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var ports []string
	for _, s := range servers {
		ports = append(ports, strconv.Itoa(s.at(far)))
	}
	return command(exec.CommandContext(ctx, self, "child", part, "-key", l.key, "-known", l.known,
		"-ports", strings.Join(ports, ","), "-source", source, "-root", root, "-state", l.dir))
}

func where(far bool) string {
	if far {
		return "20 ms"
	}
	return "loopback"
}

// steps writes n steps of each kind, for Ansible and for phoenix-run, whose host is in host and whose
// folder in at. reads says whether to look at files as well.
func steps(n int, reads bool) (yaml, star string) {
	var y, s strings.Builder
	task := func(module string, args ...string) {
		fmt.Fprintf(&y, "    - %s:\n", module)
		for _, a := range args {
			fmt.Fprintf(&y, "        %s\n", a)
		}
	}
	step := func(format string, args ...any) { fmt.Fprintf(&s, "    "+format+"\n", args...) }
	for i := range n {
		task("ansible.builtin.file", fmt.Sprintf(`path: "{{ root }}/d%d"`, i), "state: directory", `mode: "0755"`)
		step(`host.directory(at + "/d%d", mode = "0755")`, i)
	}
	for i := range n {
		task("ansible.builtin.copy", fmt.Sprintf(`dest: "{{ root }}/f%d"`, i), fmt.Sprintf(`content: "file number %d\n"`, i), `mode: "0644"`)
		step(`host.file(at + "/f%d", content = "file number %[1]d\n", mode = "0644")`, i)
	}
	for i := range n {
		task("ansible.builtin.lineinfile", `path: "{{ root }}/lines"`, fmt.Sprintf(`line: "option%d=1"`, i), "create: true", `mode: "0644"`)
		if i == 0 && !reads {
			step(`host.file(at + "/lines", content = "option0=1\n", mode = "0644")`)
			continue
		}
		step(`host.line(at + "/lines", "option%d=1")`, i)
	}
	if reads {
		for i := range n {
			task("ansible.builtin.stat", fmt.Sprintf(`path: "{{ root }}/f%d"`, i))
			step(`host.stat(at + "/f%d")`, i)
		}
	}
	for i := range n {
		task("ansible.builtin.command", fmt.Sprintf(`cmd: touch "{{ root }}/c%d"`, i), fmt.Sprintf(`creates: "{{ root }}/c%d"`, i))
		step(`host.command(["touch", at + "/c%d"], creates = at + "/c%[1]d")`, i)
	}
	return y.String(), s.String()
}

// noop is 50 steps on one machine that has all of them already.
func noop(ctx context.Context, l *lab, t *table) error {
	yaml, star := steps(10, true)
	playbook := filepath.Join(l.dir, "noop.star")
	if err := os.WriteFile(playbook, []byte("def main():\n    host, at = machines[0], root\n"+star), 0o600); err != nil {
		return err
	}
	g := t.group(noopTitle,
		"10 folders, 10 files, 10 lines of a file, 10 times stat, 10 commands that `creates` says are not needed. A bare connection is a login and one command, by the `ssh` program.")
	root, err := l.folder("noop")
	if err != nil {
		return err
	}
	one := l.servers[:1]
	for _, far := range []bool{false, true} {
		a, err := l.writeAnsible("noop", yaml, one, far, 5, func(int) string { return "root=" + root })
		if err != nil {
			return err
		}
		if err := a.run(ctx, false); err != nil { // makes everything
			return err
		}
		ours := &contender{name: "phoenix-run", times: 5, run: func() error { return l.child(ctx, "play", one, far, playbook, root) }}
		plain := &contender{name: "ansible", run: func() error { return a.run(ctx, false) }}
		mitogen := &contender{name: "ansible with mitogen", run: func() error { return a.run(ctx, true) }}
		bare := &contender{name: "ssh", times: 3, run: func() error {
			return run(ctx, append(append([]string{"ssh"}, l.ssh("-p", strconv.Itoa(one[0].at(far)))...), "root@127.0.0.1", "true")...)
		}}
		turns := one[0].proxy.Turns()
		if far {
			if err := ours.run(); err != nil {
				return err
			}
			turns = one[0].proxy.Turns() - turns
		}
		if err := compete(l.reps, []*contender{ours, plain, mitogen, bare}); err != nil {
			return err
		}
		if far {
			took := median(ours.took)
			limit := 50*distance + 500*time.Millisecond
			g.add(line{what: where(far), who: "phoenix-run", median: ms(took), ratio: fmt.Sprintf("%d round trips, login included", turns),
				goal: fmt.Sprintf("≤ 50 round trips + 0.5 s (%s)", ms(limit)), holds: yes(took <= limit)})
			g.add(line{what: where(far), who: "Ansible", median: ms(median(plain.took)), ratio: fmt.Sprintf("%.0f×", ratio(plain, ours))})
			g.add(line{what: where(far), who: "Ansible with mitogen", median: ms(median(mitogen.took)), ratio: fmt.Sprintf("%.0f×", ratio(mitogen, ours))})
		} else {
			g.add(line{what: where(far), who: "phoenix-run", median: ms(median(ours.took)), ratio: "1"})
			r := ratio(plain, ours)
			g.add(line{what: where(far), who: "Ansible", median: ms(median(plain.took)), ratio: fmt.Sprintf("%.0f×", r), goal: "≥ 50×", holds: yes(r >= 50)})
			r = ratio(mitogen, ours)
			g.add(line{what: where(far), who: "Ansible with mitogen", median: ms(median(mitogen.took)), ratio: fmt.Sprintf("%.0f×", r), goal: "≥ 20×", holds: yes(r >= 20)})
		}
		g.add(line{what: where(far), who: "a bare connection", median: ms(median(bare.took)), ratio: fmt.Sprintf("%.2f×", ratio(bare, ours))})
	}
	return nil
}

// changes is 20 steps that all change something, on 20 machines at once.
func changes(ctx context.Context, l *lab, t *table) error {
	yaml, star := steps(5, false)
	playbook := filepath.Join(l.dir, "changes.star")
	text := "def work(i):\n    host, at = machines[i], root + \"/m%d\" % i\n" + star +
		"\ndef main():\n    each(range(len(machines)), work, parallel = 20)\n"
	if err := os.WriteFile(playbook, []byte(text), 0o600); err != nil {
		return err
	}
	g := t.group(changesTitle, "5 folders, 5 files, 5 lines of a file, 5 commands; 20 sshd on one machine; Ansible with 20 forks.")
	base := filepath.Join(l.dir, "changes")
	fresh := func() error {
		if _, err := l.folder("changes"); err != nil {
			return err
		}
		for i := range l.servers {
			if err := os.Mkdir(filepath.Join(base, fmt.Sprintf("m%d", i)), 0o755); err != nil {
				return err
			}
		}
		return nil
	}
	for _, far := range []bool{false, true} {
		a, err := l.writeAnsible("changes", yaml, l.servers, far, 20, func(i int) string { return fmt.Sprintf("root=%s/m%d", base, i) })
		if err != nil {
			return err
		}
		ours := &contender{name: "phoenix-run", times: 3, setup: fresh, run: func() error { return l.child(ctx, "play", l.servers, far, playbook, base) }}
		plain := &contender{name: "ansible", setup: fresh, run: func() error { return a.run(ctx, false) }}
		if err := compete(l.reps, []*contender{ours, plain}); err != nil {
			return err
		}
		r := ratio(plain, ours)
		g.add(line{what: where(far), who: "phoenix-run", median: ms(median(ours.took)), ratio: "1"})
		g.add(line{what: where(far), who: "Ansible", median: ms(median(plain.took)), ratio: fmt.Sprintf("%.0f×", r), goal: "≥ 20×", holds: yes(r >= 20)})
	}
	return nil
}

// trees is 500 small files.
func trees(ctx context.Context, l *lab, t *table) error {
	source, err := l.folder("tree")
	if err != nil {
		return err
	}
	for i := range 500 {
		dir := filepath.Join(source, fmt.Sprintf("d%02d", i%20))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%03d", i)), random(1<<10), 0o644); err != nil {
			return err
		}
	}
	g := t.group(treeTitle, "Deletes included, content compared by hash. rsync compares size and time of change only.")
	target := filepath.Join(l.dir, "pushed")
	gone := func() error { return os.RemoveAll(target) }
	one := l.servers[:1]
	for _, far := range []bool{false, true} {
		port := strconv.Itoa(one[0].at(far))
		remoteShell := "ssh " + strings.Join(l.ssh("-p", port), " ")
		ours := &contender{name: "phoenix-run", times: 3, setup: gone, run: func() error { return l.child(ctx, "push", one, far, source, target) }}
		tar := &contender{name: "tar", times: 3, setup: gone, run: func() error {
			return run(ctx, "sh", "-c", `tar -C "$1" -cf - . | $2 root@127.0.0.1 "mkdir -p $3 && tar -C $3 -xf -"`, "sh", source, remoteShell, target)
		}}
		rsync := &contender{name: "rsync", times: 3, setup: gone, run: func() error {
			return run(ctx, "rsync", "-a", "--delete", "-e", remoteShell, source+"/", "root@127.0.0.1:"+target+"/")
		}}
		if err := compete(l.reps, []*contender{ours, tar, rsync}); err != nil {
			return err
		}
		r := ratio(ours, tar)
		g.add(line{what: "first push, " + where(far), who: "phoenix-run", median: ms(median(ours.took)), ratio: fmt.Sprintf("%.2f of tar", r), goal: "≤ 1.5 of tar", holds: yes(r <= 1.5)})
		g.add(line{what: "first push, " + where(far), who: "tar \\| ssh tar", median: ms(median(tar.took)), ratio: fmt.Sprintf("%.2f×", ratio(tar, ours))})
		g.add(line{what: "first push, " + where(far), who: "rsync -a", median: ms(median(rsync.took)), ratio: fmt.Sprintf("%.2f×", ratio(rsync, ours))})

		ours.took, ours.setup, rsync.took, rsync.setup = nil, nil, nil, nil
		if err := rsync.run(); err != nil {
			return err
		}
		turns := one[0].proxy.Turns()
		if err := ours.run(); err != nil {
			return err
		}
		turns = one[0].proxy.Turns() - turns
		if err := compete(l.reps, []*contender{ours, rsync}); err != nil {
			return err
		}
		ownLine := line{what: "unchanged, " + where(far), who: "phoenix-run", median: ms(median(ours.took)), ratio: "1"}
		if far {
			took, limit := median(ours.took), 6*distance+500*time.Millisecond
			ownLine.ratio = fmt.Sprintf("%d round trips, login included", turns)
			ownLine.goal, ownLine.holds = fmt.Sprintf("≤ 6 round trips + 0.5 s (%s)", ms(limit)), yes(took <= limit)
		}
		g.add(ownLine)
		g.add(line{what: "unchanged, " + where(far), who: "rsync -a", median: ms(median(rsync.took)), ratio: fmt.Sprintf("%.2f×", ratio(rsync, ours))})
	}
	return nil
}

// largeFile is one file of 256 MiB, in memory at both ends: the wire is measured, not the disk.
func largeFile(ctx context.Context, l *lab, t *table) error {
	dir, err := os.MkdirTemp("/dev/shm", "phx-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	const size = 256 << 20
	if err := os.WriteFile(source, random(size), 0o600); err != nil {
		return err
	}
	g := t.group(fileTitle, "In memory at both ends, so that the wire is measured and not the disk. phoenix-run brings the file to the disk (sync) and puts it in place by a rename; scp does neither.")
	gone := func() error { return os.RemoveAll(target) }
	one := l.servers[:1]
	for _, far := range []bool{false, true} {
		ours := &contender{name: "phoenix-run", setup: gone, run: func() error { return l.child(ctx, "send", one, far, source, target) }}
		scp := &contender{name: "scp", setup: gone, run: func() error {
			return run(ctx, append(append([]string{"scp", "-q"}, l.ssh("-P", strconv.Itoa(one[0].at(far)))...), source, "root@127.0.0.1:"+target)...)
		}}
		if err := compete(l.reps, []*contender{ours, scp}); err != nil {
			return err
		}
		r := ratio(scp, ours)
		speed := func(c *contender) string {
			return fmt.Sprintf("%s (%.0f MiB/s)", ms(median(c.took)), float64(size>>20)/median(c.took).Seconds())
		}
		g.add(line{what: where(far), who: "phoenix-run", median: speed(ours), ratio: fmt.Sprintf("%.2f of scp's speed", r), goal: "≥ 0.9 of scp's speed", holds: yes(r >= 0.9)})
		g.add(line{what: where(far), who: "scp", median: speed(scp), ratio: fmt.Sprintf("%.2f×", r)})
	}
	return nil
}

func random(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) //nolint:errcheck // never fails
	return b
}

// size is memory and start.
func size(ctx context.Context, l *lab, t *table) error {
	g := t.group(sizeTitle, "")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var ports []string
	for range 5 {
		for _, s := range l.servers {
			ports = append(ports, strconv.Itoa(s.port))
		}
	}
	var most []int64
	for range l.reps {
		out, err := exec.CommandContext(ctx, self, "child", "connect", "-key", l.key, "-known", l.known, "-ports", strings.Join(ports, ",")).Output()
		if err != nil {
			return err
		}
		var before, after int64
		if _, err := fmt.Sscan(string(out), &before, &after); err != nil {
			return err
		}
		most = append(most, after)
	}
	mib := float64(median(most)) / 1024
	g.add(line{what: fmt.Sprintf("most memory with %d machines connected", len(ports)), who: "phoenix-run", median: fmt.Sprintf("%.0f MiB", mib), goal: "≤ 100 MiB", holds: yes(mib <= 100)})
	c := &contender{name: "start", times: 20, run: func() error { return run(ctx, l.binary, "--version") }}
	// What starting any process costs here and now, to see the machine's load by.
	nothing := &contender{name: "true", times: 20, run: func() error { return run(ctx, "/bin/true") }}
	if err := compete(l.reps, []*contender{c, nothing}); err != nil {
		return err
	}
	took := median(c.took)
	g.add(line{what: "start of the binary", who: "phoenix-run --version", median: ms(took), goal: "≤ 30 ms", holds: yes(took <= 30*time.Millisecond)})
	g.add(line{what: "start of a process", who: "/bin/true", median: ms(median(nothing.took)), ratio: fmt.Sprintf("%.2f×", ratio(nothing, c))})
	return nil
}
