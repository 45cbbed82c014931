// Package guest is a simulated Debian-like machine: a file tree, users, packages, services and a POSIX
// shell, reached by SSH and SFTP on a loopback address of its own and by a guest agent.
package guest

// Guest is one simulated machine.
type Guest struct{}
