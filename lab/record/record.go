// Package record writes the lab's request log, requests.jsonl: what each simulated service was asked,
// and whether it changed anything, as the service itself saw it.
package record

import (
	"encoding/json"
	"os"
	"sync"
	"time"
)

// Services that make entries.
const (
	Proxmox   = "proxmox"
	Portainer = "portainer"
	SSH       = "ssh"
	SFTP      = "sftp"
	Agent     = "agent"
)

// Entry is one request. For a guest, Path is the command.
type Entry struct {
	Time    time.Time      `json:"time"`
	Service string         `json:"service"`
	Host    string         `json:"host"`
	Method  string         `json:"method,omitempty"`
	Path    string         `json:"path"`
	Params  map[string]any `json:"params,omitempty"`
	Status  int            `json:"status"`
	Changed bool           `json:"changed"`
}

// Log appends entries to a file. Its methods may be called from several goroutines.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// Open appends to the log at path, making it if needed, readable by its owner only.
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Log{file: f}, nil
}

// Add writes one entry; a zero Time is set to now.
func (l *Log) Add(e Entry) error {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }
