package session

import (
	"bytes"
	"sync"

	"phoenix-run/remote"
)

// maxOutput is how much of each stream a Result keeps. More is read and dropped.
const maxOutput = 64 << 20

// output gathers what a script writes: into the Result, and line by line to whoever watches.
type output struct {
	mu             sync.Mutex
	ended          bool
	result         remote.Result
	watch          func(string)
	stdout, stderr []byte // the line that has not ended yet
}

func (o *output) takeStdout(p []byte) error {
	o.take(p, &o.result.Stdout, &o.stdout)
	return nil
}

func (o *output) takeStderr(p []byte) error {
	o.take(p, &o.result.Stderr, &o.stderr)
	return nil
}

func (o *output) take(p []byte, kept, open *[]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return // a cancelled script's last words, too late
	}
	if space := maxOutput - len(*kept); len(p) > space {
		o.result.Truncated = true
		*kept = append(*kept, p[:space]...)
	} else {
		*kept = append(*kept, p...)
	}
	if o.watch == nil {
		return
	}
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		if !found {
			*open = append(*open, p...)
			return
		}
		*open = append(*open, line...)
		o.show(open)
		p = rest
	}
}

// show passes a line on. Of a line that was written over with carriage returns the last state counts.
func (o *output) show(open *[]byte) {
	line := bytes.TrimRight(*open, "\r")
	line = line[bytes.LastIndexByte(line, '\r')+1:]
	o.watch(string(line))
	*open = (*open)[:0]
}

// end gives the Result. Nothing is taken after it.
func (o *output) end(code int) remote.Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.flush()
	}
	o.ended = true
	o.result.Code = code
	return o.result
}

// flush shows lines that will not end any more.
func (o *output) flush() {
	for _, open := range []*[]byte{&o.stdout, &o.stderr} {
		if len(*open) > 0 && o.watch != nil {
			o.show(open)
		}
	}
}

// reset forgets what came, for a second try.
func (o *output) reset() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.result = remote.Result{}
	o.stdout, o.stderr = nil, nil
	return nil
}

// Lines passes on, line by line, what came only after the script's end.
func Lines(watch func(string), stdout, stderr []byte) {
	o := &output{watch: watch}
	for _, stream := range [][]byte{stdout, stderr} {
		o.take(stream, new([]byte), &o.stdout)
		o.flush()
	}
}
