// Package hosttest is a table of what the operations on a host do, each with a check by the machine's
// ordinary tools, and the way to run it on a real machine.
//
// Start gives one: this machine's own Debian tree under an overlay, in namespaces of its own, behind
// OpenSSH's sshd. Others, with systemd or a kernel of their own, are handed to Run by who has them.
package hosttest

import "slices"

// Need is what an operation takes that not every machine has.
type Need string

// Needs.
const (
	Systemd Need = "systemd" // it is running
	Kernel  Need = "kernel"  // of its own: modules, swap and mounts are nobody else's
	Docker  Need = "docker"  // the engine is running
)

// Case is one operation, or a few that belong together.
type Case struct {
	Name string
	// Files lie in the project folder, by path.
	Files map[string]string
	// Setup is a shell script that runs on the machine before anything else.
	Setup string
	// Playbook is the body of main, in which host is the machine.
	Playbook string
	// Check is a shell script that succeeds if the effect is there; it is run after each apply.
	Check string
	// Changes is how many operations of the playbook change something at first; 0: at least one.
	Changes int
	Needs   []Need
	// Repeats says that the operation is meant to do its work each time.
	Repeats bool
	// Idle says that there may be nothing to do.
	Idle bool
	// Says is in a line that people are told during the first apply.
	Says string
	// Late says that the dry run ends early, at something that only an apply can tell.
	Late bool
}

// Cases are all that are known, in an order in which they can run on one machine.
func Cases() []Case {
	return slices.Concat(fileCases, packageCases, accountCases, commandCases, configCases, treeCases)
}
