package proxmox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// task is one worker, running or ended.
type task struct {
	UPID   string   `json:"upid"`
	Node   string   `json:"node"`
	Type   string   `json:"type"`
	ID     string   `json:"id"`
	User   string   `json:"user"` // with the token's id, if there was one
	PID    int      `json:"pid"`
	PStart int      `json:"pstart"`
	Start  int64    `json:"start"`
	End    int64    `json:"end,omitempty"` // 0 while it runs
	Exit   string   `json:"exit,omitempty"`
	Log    []string `json:"log,omitempty"`
	Target int      `json:"target,omitempty"` // the VM being made, for clones and creations
	cancel context.CancelCauseFunc
	done   chan struct{}
	warned int
	mu     sync.Mutex
}

// errInterrupted is why a worker ended that someone stopped.
var errInterrupted = errors.New("interrupted by signal")

// logf adds a line to the task's log.
func (t *task) logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Log = append(t.Log, strings.Split(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n")...)
}

// warnf adds a warning: the task then ends as "WARNINGS: n".
func (t *task) warnf(format string, args ...any) {
	t.logf("WARN: "+format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warned++
}

// lines are the log so far; an ended task's last line says how it ended.
func (t *task) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.Log)
}

func (t *task) ended() (exit string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Exit, t.End != 0
}

// journal is the file that tasks are kept in: a line when one starts and one when it ends.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

// openJournal reads the tasks of earlier runs. A last line that was cut off by a kill is dropped.
func openJournal(path string) (*journal, []*task, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	var order []string
	byUPID := map[string]*task{}
	whole := bytes.LastIndexByte(text, '\n') + 1
	lines := bufio.NewScanner(bytes.NewReader(text[:whole]))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		t := &task{done: make(chan struct{})}
		if err := json.Unmarshal(lines.Bytes(), t); err != nil {
			return nil, nil, fmt.Errorf("the lab's task journal %s is damaged: %w", path, err)
		}
		if byUPID[t.UPID] == nil {
			order = append(order, t.UPID)
		}
		byUPID[t.UPID] = t
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(int64(whole), 0); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	tasks := make([]*task, len(order))
	for i, upid := range order {
		tasks[i] = byUPID[upid]
	}
	return &journal{file: f}, tasks, nil
}

func (j *journal) write(t *task) error {
	t.mu.Lock()
	line, err := json.Marshal(t)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// worker is what a task does; its error becomes the exit status.
type worker func(ctx context.Context, t *task) error

// fork starts a worker and returns its task, as Proxmox does: at once, before anything has happened.
func (c *call) fork(kind, id string, target int, work worker) (*task, error) {
	s := c.server
	s.mu.Lock()
	s.pid++
	now := s.now()
	t := &task{
		Node: c.node, Type: kind, ID: id, User: c.user.String(), PID: s.pid, PStart: int(now.Sub(s.booted).Milliseconds() / 10),
		Start: unix(now), Target: target, done: make(chan struct{}),
	}
	t.UPID = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", t.Node, t.PID, t.PStart, t.Start, t.Type, t.ID, t.User)
	ctx, cancel := context.WithCancelCause(s.ctx)
	t.cancel = cancel
	s.tasks[t.UPID] = t
	s.order = append(s.order, t)
	s.workers.Add(1)
	s.mu.Unlock()
	if err := s.journal.write(t); err != nil {
		s.workers.Done()
		cancel(err)
		return nil, err
	}
	c.async = t
	fault := c.fault.Task
	go func() {
		defer s.workers.Done()
		defer cancel(nil)
		err := runWorker(ctx, t, fault, work)
		c.taskWorked()
		s.finish(t, err)
	}()
	return t, nil
}

// runWorker runs the work with the faults that were ordered for it.
func runWorker(ctx context.Context, t *task, fault TaskFault, work worker) error {
	if err := sleep(ctx, fault.Slow); err != nil {
		return context.Cause(ctx)
	}
	if fault.Fail != "" {
		return errors.New(fault.Fail)
	}
	err := work(ctx, t)
	for _, w := range fault.Warnings {
		t.warnf("%s", w)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// finish records how a task ended.
func (s *Server) finish(t *task, err error) {
	t.mu.Lock()
	t.End = unix(s.now())
	switch {
	case err != nil:
		t.Exit = strings.SplitN(err.Error(), "\n", 2)[0]
		t.Log = append(t.Log, "TASK ERROR: "+t.Exit)
	case t.warned > 0:
		t.Exit = "WARNINGS: " + strconv.Itoa(t.warned)
		t.Log = append(t.Log, "TASK "+t.Exit)
	default:
		t.Exit = "OK"
		t.Log = append(t.Log, "TASK OK")
	}
	t.mu.Unlock()
	if err := s.journal.write(t); err != nil {
		s.report(err)
	}
	close(t.done)
}

// sleep waits for d, or for ctx to end.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
