// Package portainer is the client of Portainer's API: it waits for a server, sets it up, registers
// environments and brings Docker stacks to a wanted state, on every supported version (2.19 to 2.45).
//
// The versions differ in ways that can destroy running services: some deploy while the caller waits
// and take a stack down when an update fails, others answer at once and go on in the background. The
// client follows what it sees rather than what the version says: after each write it waits until the
// server has finished, then looks at the containers themselves, and puts the last working state back
// where an update failed. A request of which nobody knows whether it was carried out is never sent
// again before someone has looked.
//
// The package knows no Starlark, and of this project it imports only package secret.
package portainer
