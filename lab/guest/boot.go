package guest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/vfs"
)

// firstPID is above what a booted machine's own processes have taken.
const firstPID = 800

func newRunning(g *Guest, address string) *running {
	r := &running{g: g, address: address, table: proc.NewTable(firstPID), up: make(chan struct{}), aptLock: make(chan struct{}, 1), active: map[*vfs.Trace]int{}}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.units = newUnits(r)
	r.init = newCloudInit(r)
	return r
}

// boot brings the system up. A resumed one comes up at once, and its cloud-init has been through.
func (r *running) boot(resumed bool) {
	defer close(r.up)
	if !r.g.bootable() {
		return
	}
	if !resumed && !r.sleep(r.g.backend.opts.BootTime) {
		return
	}
	if err := r.kernelFiles(); err != nil {
		r.g.Journal("kernel", err.Error())
		return
	}
	if resumed {
		if err := r.restoreLists(); err != nil {
			r.g.Journal("kernel", err.Error())
		}
		r.init.restore()
	} else {
		r.g.clearRun()
		r.g.Journal("kernel", "Linux version "+kernelRelease+" (buildd@lcy02) #128-Ubuntu SMP")
		r.g.growRoot()
		if err := r.init.begin(); err != nil {
			r.g.Journal("cloud-init", err.Error())
		}
	}
	if err := r.g.root().WriteFile(sysctlPath("kernel.hostname"), []byte(r.g.Name()+"\n"), 0o644); err != nil {
		r.g.Journal("kernel", err.Error())
	}
	if !resumed {
		if err := r.mountAll(); err != nil {
			r.g.Journal("systemd", err.Error())
		}
	}
	r.units.startEnabled(r.ctx)
	if err := errors.Join(r.g.Flush(), r.g.cameUp(r)); err != nil {
		r.g.Journal("kernel", "the lab can't keep this machine's files: "+err.Error())
	}
	r.work.Go(func() { r.init.finish() })
}

// cameUp keeps that the machine is up, unless it was switched off meanwhile.
func (g *Guest) cameUp(r *running) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.meta.Up || g.gone || g.run != r || r.ctx.Err() != nil {
		return nil
	}
	g.meta.Up = true
	return g.saveMeta()
}

// sleep waits, and reports whether the machine still runs.
func (r *running) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return r.ctx.Err() == nil
	case <-r.ctx.Done():
		return false
	}
}

// halt ends everything that runs. clean stops the services in order, as a shutdown does; else they are
// only told that their machine is gone.
func (r *running) halt(clean bool) {
	if clean {
		r.g.Journal("systemd", "Shutting down.")
	}
	r.units.stopAll()
	r.cancel(errHalted)
	done := make(chan struct{})
	go func() {
		r.work.Wait()
		r.table.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		// A package's program that does not end by itself is left to its own: it can't reach the
		// machine's next boot.
	}
}

// growRoot lets the root file system fill the disk, as growpart and resize2fs do at boot.
func (g *Guest) growRoot() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.meta.RootBytes >= g.meta.DiskBytes {
		return false
	}
	g.meta.RootBytes = g.meta.DiskBytes
	return true
}

// clearRun empties what is kept in memory only and so does not outlive a boot.
func (g *Guest) clearRun() {
	v := g.root()
	for _, dir := range []string{"/run", "/tmp"} {
		list, err := v.ReadDir(dir)
		if err != nil {
			continue // a system without that folder has nothing to clear
		}
		for _, f := range list {
			if err := v.RemoveAll(dir + "/" + f.Name()); err != nil {
				g.Journal("systemd-tmpfiles", err.Error())
			}
		}
	}
	var errs []error
	for _, dir := range []string{"/run/lock", "/run/systemd", "/run/sshd", "/run/cloud-init", "/run/user"} {
		errs = append(errs, v.MkdirAll(dir, 0o755))
	}
	if err := errors.Join(errs...); err != nil {
		g.Journal("systemd-tmpfiles", fmt.Sprintf("making /run: %v", err))
	}
}
