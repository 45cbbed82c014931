// Package plan keeps what a dry run found, and binds an apply to it: nothing is changed that the plan
// does not hold.
package plan

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/renameio/v2"

	"phoenix-run/runner/event"
	"phoenix-run/runner/op"
)

// Format is the version of the plan file's form.
const Format = 1

// Plan is what a dry run found. It holds no secret: values are shown redacted, and compared by salted digest.
type Plan struct {
	Format   int               `json:"format"`
	Tool     string            `json:"tool"` // version of phoenix-run
	Run      string            `json:"run"`
	Made     time.Time         `json:"made"`
	Playbook string            `json:"playbook"` // module path
	Embedded bool              `json:"embedded,omitempty"`
	Words    []string          `json:"words"`   // the command line's arguments
	Options  map[string]string `json:"options"` // flags that decide what is done: limit, lab, …
	Salt     []byte            `json:"salt"`
	Modules  map[string]string `json:"modules"` // digest of every loaded module
	Inputs   map[string]string `json:"inputs"`  // digest of every file read, by path
	Steps    []Step            `json:"steps"`
	Deferred []Deferral        `json:"deferred,omitempty"`
	Counts   event.Counts      `json:"counts"`
	// Seal is a digest over all the rest, so that an edited file is noticed.
	Seal string `json:"seal"`
}

// Step is one planned change.
type Step struct {
	Address  op.Address        `json:"address"`
	Position string            `json:"position"`
	Before   map[string]string `json:"before"` // digest of each attribute that is known; null if the thing did not exist
	After    map[string]string `json:"after"`  // digest of each attribute that is known
	Change   *event.Change     `json:"change"` // as people see it
}

// Deferral is a task whose plan ended early, since it looked at something unknown.
type Deferral struct {
	Host     string `json:"host"`
	Position string `json:"position"`
	Reason   string `json:"reason"`
}

// NewSalt makes the salt of a plan's digests.
func NewSalt() []byte {
	salt := make([]byte, 32)
	rand.Read(salt)
	return salt
}

// seal computes the digest over everything but the seal itself.
func (p *Plan) seal() (string, error) {
	open := *p
	open.Seal = ""
	text, err := json.Marshal(open)
	if err != nil {
		return "", err
	}
	return op.Digester{Salt: []byte("phoenix-run plan")}.Value(string(text)), nil
}

// Write stores the plan at path, readable by its owner only.
func (p *Plan) Write(path string) error {
	var err error
	if p.Seal, err = p.seal(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o600)
}

// Read loads a plan and refuses one that was edited, that others may write, or of another format.
func Read(path string) (*Plan, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s: others may write this file (mode %04o), so it may not be what was reviewed; plan again", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // whole numbers stay whole
	if err := decoder.Decode(p); err != nil {
		return nil, fmt.Errorf("%s is no plan: %w", path, err)
	}
	if p.Format != Format {
		return nil, fmt.Errorf("%s has format %d, this phoenix-run reads %d; plan again", path, p.Format, Format)
	}
	seal, err := p.seal()
	if err != nil {
		return nil, err
	}
	if seal != p.Seal {
		return nil, fmt.Errorf("%s: %w", path, ErrEdited)
	}
	return p, nil
}

// ErrEdited says that a plan file is not as it was written.
var ErrEdited = errors.New("the plan was edited after it was made; plan again")

// IsMissing reports whether err says that the plan file is not there.
func IsMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
