package portainer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

// backupOp keeps the server's database before an upgrade.
type backupOp struct {
	v        *Server
	c        *builtin.Call
	from, to string
	file     string // once it is made
}

func (o *backupOp) Address() op.Address {
	return op.Address{Host: o.v.vm.Config().Name, Kind: "backup", ID: "portainer-" + o.from}
}

// Read knows of no backup but the one that this operation makes: an older one lacks what came since.
func (o *backupOp) Read(context.Context, *op.View) (op.State, error) {
	if o.file == "" {
		return op.State{}, nil
	}
	if _, err := os.Stat(o.file); err != nil {
		return op.State{}, err
	}
	return op.State{Attrs: o.wanted()}, nil
}

func (o *backupOp) wanted() op.Attrs { return op.Attrs{"version": o.from} }

func (o *backupOp) Diff(current op.State) (op.Change, error) {
	change := op.Compare(current, o.wanted())
	change.Note = "before the upgrade to " + o.to
	return change, nil
}

func (o *backupOp) Predict(*op.View, op.Change) {}

// Apply writes the backup, encrypted: it holds keys and passwords.
func (o *backupOp) Apply(ctx context.Context, _ op.Change) (err error) {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	password, err := o.v.s.password(ctx, o.c.Task)
	if err != nil {
		return err
	}
	dir := filepath.Join(o.v.s.options.Config.Dir, ".phoenix", "backups")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keeping a backup: %w", err)
	}
	file := filepath.Join(dir, fmt.Sprintf("portainer-%s-%s.tar.gz.encrypted", o.from, time.Now().UTC().Format("20060102T150405Z")))
	pending, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("keeping a backup: %w", err)
	}
	defer pending.Cleanup() //nolint:errcheck // what was not put in place is of no use
	if err := client.Backup(ctx, pending, password.Reveal()); err != nil {
		return fmt.Errorf("%w; prepare(backup = False), or --no-backup, upgrades without one", err)
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("keeping a backup: %w", err)
	}
	o.file = file
	o.c.Task.Log(o.v.vm.Config().Name, "Portainer's backup is in "+file)
	return nil
}
