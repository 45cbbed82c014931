// Package proxmox is the lab's Proxmox VE: a TLS server that answers under /api2/json as the real one
// does, its faults included. It keeps configurations, locks, tasks, ids, storages and permissions; the
// machines themselves are run by a machine.Backend.
//
// What it does on the wire follows Proxmox's own sources: error text in the reason phrase, parameter
// checks with their messages, asynchronous tasks under locks, pending changes of running machines, a
// guest agent that reports the end of a command once. Two generations are spoken, 8 and 9, see Version.
//
// State lives in a folder, one small file an entity, each replaced atomically, so that the lab survives
// a kill at any moment. Tasks that were running then are rolled back when the folder is opened again.
package proxmox
