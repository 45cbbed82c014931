// Package journal records an apply: intent before effect, each on disk before the next, so that a run
// that was cut off can be reported and resumed. It is for people and for resuming, and never believed
// over what is really there.
package journal

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"phoenix-run/runner"
	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// Kind tells what a record is.
type Kind string

// Kinds of records.
const (
	Start  Kind = "start"
	Intent Kind = "intent"
	Done   Kind = "done"
	Failed Kind = "failed"
	Event  Kind = "event"
	End    Kind = "end"
)

// Record is one line of a journal.
type Record struct {
	Kind      Kind         `json:"kind"`
	Time      time.Time    `json:"time"`
	Address   string       `json:"address,omitempty"`
	Action    op.Action    `json:"action,omitempty"`
	Arguments string       `json:"arguments,omitempty"` // digest, for steps that can't be read back
	Result    op.Attrs     `json:"result,omitempty"`    // of such a step, redacted
	Error     string       `json:"error,omitempty"`
	Event     *event.Event `json:"event,omitempty"`
	Header    *Header      `json:"header,omitempty"`
}

// Header says what a run was.
type Header struct {
	Run      string            `json:"run"`
	Playbook string            `json:"playbook"`
	Embedded bool              `json:"embedded,omitempty"`
	Words    []string          `json:"words"`
	Options  map[string]string `json:"options"`
	Modules  map[string]string `json:"modules,omitempty"`
	Salt     []byte            `json:"salt"`
	Resumes  string            `json:"resumes,omitempty"`
}

// Journal is a run's journal being written. Its methods may be called from several goroutines.
type Journal struct {
	mu      sync.Mutex
	file    *os.File
	digest  op.Digester
	redact  func(string) string
	earlier map[string]memory // of the run that is resumed
	ask     func(addr op.Address) (again bool, err error)
}

type memory struct {
	arguments string
	done      bool
	result    op.Attrs
}

// Path is where the journal of a run lies below the state folder.
func Path(dir, run string) string { return filepath.Join(dir, "runs", run, "journal.jsonl") }

// Create begins the journal of a run below dir, readable by its owner only.
func Create(dir string, h Header, redact func(string) string) (*Journal, error) {
	path := Path(dir, h.Run)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{file: f, digest: op.Digester{Salt: h.Salt}, redact: redact, earlier: map[string]memory{}}
	return j, j.write(Record{Kind: Start, Header: &h}, true)
}

// Resume makes the journal answer for steps that can't be read back and that the earlier run has
// done. ask decides about a step that was begun and not ended.
func (j *Journal) Resume(records []Record, ask func(addr op.Address) (again bool, err error)) {
	j.ask = ask
	for _, r := range records {
		switch r.Kind {
		case Start:
			j.digest = op.Digester{Salt: r.Header.Salt}
		case Intent:
			if r.Arguments != "" {
				j.earlier[r.Address] = memory{arguments: r.Arguments}
			}
		case Done, Failed:
			if m, ok := j.earlier[r.Address]; ok {
				m.done, m.result = r.Kind == Done, r.Result
				if r.Kind == Failed {
					delete(j.earlier, r.Address) // it failed for all to see: it is done again
					continue
				}
				j.earlier[r.Address] = m
			}
		}
	}
}

func (j *Journal) write(r Record, sync bool) error {
	r.Time = time.Now().UTC()
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if sync {
		return j.file.Sync()
	}
	return nil
}

// Intent is on disk when it returns.
func (j *Journal) Intent(addr op.Address, change op.Change, arguments op.Attrs) error {
	r := Record{Kind: Intent, Address: j.redact(addr.String()), Action: change.Action}
	if arguments != nil {
		r.Arguments = j.digest.Attrs(arguments)
	}
	return j.write(r, true)
}

// Done records how a step ended.
func (j *Journal) Done(addr op.Address, after op.State, err error) error {
	r := Record{Kind: Done, Address: j.redact(addr.String())}
	if err != nil {
		r.Kind, r.Error = Failed, j.redact(err.Error())
	}
	if after.Attrs != nil {
		r.Result = op.Attrs{}
		for name, v := range after.Attrs {
			if text, ok := v.(string); ok {
				v = j.redact(text)
			}
			r.Result[name] = v
		}
	}
	return j.write(r, true)
}

// Recall tells what the resumed run did about a step that can't be read back.
func (j *Journal) Recall(addr op.Address, arguments op.Attrs) (runner.Recollection, error) {
	m, ok := j.earlier[addr.String()]
	if !ok || m.arguments != j.digest.Attrs(arguments) {
		return runner.Recollection{}, nil
	}
	if m.done {
		return runner.Recollection{Done: true, State: op.State{Attrs: op.Normal(map[string]any(m.result)).(map[string]any)}}, nil
	}
	again, err := j.ask(addr)
	if err != nil {
		return runner.Recollection{}, err
	}
	return runner.Recollection{Done: !again}, nil
}

// Emit keeps an event, for reports.
func (j *Journal) Emit(e event.Event) {
	if err := j.write(Record{Kind: Event, Event: &e}, e.Type == event.RunEnd); err != nil {
		fmt.Fprintln(os.Stderr, "phoenix-run: the journal can't be written:", err)
	}
}

// Close ends the journal.
func (j *Journal) Close() error {
	return errors.Join(j.write(Record{Kind: End}, true), j.file.Close())
}

// Read gives the records of a run's journal; a last line that was cut off is left out.
func Read(dir, run string) ([]Record, error) {
	if run != filepath.Base(run) {
		return nil, fmt.Errorf("%q is no run", run)
	}
	f, err := os.Open(Path(dir, run))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no run %s below %s", run, dir)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var records []Record
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return records, nil // the end, or a line that a crash cut off
		}
		var r Record
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.UseNumber() // whole numbers stay whole
		if err := decoder.Decode(&r); err != nil {
			return nil, fmt.Errorf("%s: %w", Path(dir, run), err)
		}
		records = append(records, r)
	}
}

// Chain gives the records of a run and of those that it resumed, oldest first, and the salt of their
// digests, which all of a chain share; for the run "" no records, and a new salt.
func Chain(dir, run string) (records []Record, salt []byte, err error) {
	for run != "" {
		one, err := Read(dir, run)
		if err != nil {
			return nil, nil, err
		}
		if len(one) == 0 || one[0].Header == nil {
			return nil, nil, fmt.Errorf("run %s was cut off before it began", run)
		}
		records = append(one, records...)
		run, salt = one[0].Header.Resumes, one[0].Header.Salt
	}
	if salt == nil {
		salt = make([]byte, 32)
		rand.Read(salt)
	}
	return records, salt, nil
}

// List gives the ids of the runs below dir, newest first.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	return ids, nil
}
