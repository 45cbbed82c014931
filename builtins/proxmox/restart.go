package proxmox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"phoenix-run/config"
	"phoenix-run/pve"
	"phoenix-run/runner"
	"phoenix-run/runner/op"
)

// restartTimeout is how long the guest may take to power off when it is restarted for pending changes.
const restartTimeout = 3 * time.Minute

func pendingCell(id int) op.Key {
	return op.Key{Host: "proxmox", Space: "pending", ID: fmt.Sprint(id)}
}

// seedAttrs are what cloud-init applies when the machine boots: Proxmox takes a change at once, the
// guest sees it only then.
var seedAttrs = []string{"ip_config", "nameserver", "ssh_public_keys", "ssh_user"}

// seeded notes that a running machine's cloud-init data was changed.
func (s *Session) seeded(id int, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if slices.Contains(seedAttrs, name) && !slices.Contains(s.seeds[id], name) {
			s.seeds[id] = append(s.seeds[id], name)
		}
	}
}

// needsRestart reports whether a change of this attribute takes effect only when the machine restarts.
// hotplug is the machine's setting of that name.
func needsRestart(name string, live, coming any, hotplug string) bool {
	if hotplug == "" || hotplug == "1" {
		hotplug = "network,disk,usb" // Proxmox's default
	}
	plugs := strings.Split(hotplug, ",")
	switch name {
	case "os_type", "cpu_sockets", "cpu_cores", "guest_agent":
		return true
	case "memory_mb":
		return !slices.Contains(plugs, "memory") || toFloat(coming) < toFloat(live)
	case "network_bridge", "network_model":
		return !slices.Contains(plugs, "network")
	}
	return slices.Contains(seedAttrs, name)
}

// waiting lists the attributes whose change has been made and waits for a restart.
func waiting(settings pve.Settings) []string {
	live, coming := actual(settings.Live), actual(settings.Config)
	var names []string
	for name := range coming {
		if len(settings.Pending) > 0 && !op.Equal(live[name], coming[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// predictPending tells the view what will wait for a restart once a planned change is made: what was
// changed before may do so already, and stops if it is changed back.
func (o *machineOp) predictPending(v *op.View, change op.Change) {
	live := actual(o.settings.Live)
	var names []string
	for name, coming := range change.After {
		if !op.Equal(live[name], coming) && needsRestart(name, live[name], coming, o.settings.Live["hotplug"]) {
			names = append(names, name)
		}
	}
	v.Put(pendingCell(o.vm.ID), op.Change{Action: op.Update, After: pendingAttrs(names)})
}

func pendingAttrs(names []string) op.Attrs {
	slices.Sort(names)
	return op.Normal(op.Attrs{"pending": slices.Compact(names)}).(map[string]any)
}

// restartOp restarts a running machine so that what is pending takes effect.
type restartOp struct {
	s    *Session
	task *runner.Task
	vm   config.VM
}

func (o *restartOp) Address() op.Address {
	return op.Address{Host: o.vm.Name, Kind: "restart", ID: fmt.Sprint(o.vm.ID)}
}

// Read tells what waits for a restart. A machine that is off or not there waits for nothing: what is
// pending takes effect when it starts.
func (o *restartOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, pendingCell(o.vm.ID), func(ctx context.Context) (op.Attrs, error) {
		found, ok, err := o.s.find(ctx, o.task, o.vm.ID)
		if err != nil || !ok {
			return nil, err
		}
		settings, err := o.s.settings(ctx, o.task, found)
		if err != nil {
			return nil, err
		}
		o.s.mu.Lock()
		names := append(waiting(settings), o.s.seeds[o.vm.ID]...)
		o.s.mu.Unlock()
		if len(names) > 0 && found.Status != "running" { // the list may be some seconds old
			client, err := o.s.pve(ctx, o.task)
			if err != nil {
				return nil, err
			}
			status, err := client.Status(ctx, found.Node, o.vm.ID)
			if err != nil {
				return nil, err
			}
			if status.Status != "running" {
				names = nil
			}
		}
		return pendingAttrs(names), nil
	})
}

func (o *restartOp) Diff(current op.State) (op.Change, error) {
	if !current.Exists() {
		return op.Change{Action: op.None}, nil
	}
	change := op.Compare(current, pendingAttrs(nil))
	if change.Action != op.None {
		change.Note = "restarts the machine"
		if o.vm.Restart == "ask" {
			change.Note += ", if that is allowed when asked"
		}
	}
	return change, nil
}

func (o *restartOp) Predict(v *op.View, change op.Change) {
	v.Put(pendingCell(o.vm.ID), change)
	if !v.Planning() {
		v.Put(cell(o.vm.ID), change) // what is in effect has changed
	}
}

func (o *restartOp) Apply(ctx context.Context, _ op.Change) error {
	client, node, err := o.s.locate(ctx, o.task, o.vm)
	if err != nil {
		return err
	}
	o.task.Begin(o.vm.Name, o.Address().String(), "restarting")
	if err := client.Reboot(ctx, node, o.vm.ID, restartTimeout, o.s.progress(o.task, o.vm.Name)); err != nil {
		return err
	}
	o.s.boots(o.vm.ID)
	return nil
}

// takeEffect restarts the machine if something waits for that and the configuration allows it; else
// it tells what waits.
func (s *Session) takeEffect(task *runner.Task, vm config.VM) error {
	o := &restartOp{s: s, task: task, vm: vm}
	state, err := o.Read(task.Context(), task.Run.View)
	if err != nil {
		return err
	}
	names := texts(state.Attrs["pending"])
	if len(names) == 0 {
		return nil
	}
	allowed, why := vm.Restart == "if_needed", "restart is "+vm.Restart
	if vm.Restart == "ask" {
		if allowed = s.options.Planning; !allowed {
			if allowed, err = s.ask(fmt.Sprintf("VM %d (%s) must restart for its new %s to take effect. Restart it now?", vm.ID, vm.Name, strings.Join(names, ", "))); err != nil {
				why = err.Error()
			} else {
				why = "the answer was no"
			}
		}
	}
	if !allowed {
		task.Warn(vm.Name, fmt.Sprintf("pending until the machine restarts: %s (%s); to restart it: phoenix-run reboot %d", strings.Join(names, ", "), why, vm.ID))
		return nil
	}
	_, err = task.Do(o)
	return err
}

func (s *Session) ask(question string) (bool, error) {
	if s.options.Ask == nil {
		return false, errors.New("there is nobody to ask")
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	return s.options.Ask(question)
}

// pendingOf lists what waits for a restart, for people: attributes by their name in the
// configuration, and whatever else was changed by its name in Proxmox.
func pendingOf(settings pve.Settings) []string {
	names := waiting(settings)
	ours := map[string][]string{"ostype": {"os_type"}, "sockets": {"cpu_sockets"}, "cores": {"cpu_cores"}, "memory": {"memory_mb"},
		"net0": {"network_bridge", "network_model"}, "agent": {"guest_agent"}}
	for _, key := range settings.Pending {
		if !slices.ContainsFunc(ours[key], func(name string) bool { return slices.Contains(names, name) }) {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
