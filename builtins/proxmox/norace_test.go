//go:build !race

package proxmox_test

// raced is set where the race detector slows everything down: fewer rounds of the same are gone through.
const raced = false
