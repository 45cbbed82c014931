package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Numbers within the lab's block of addresses.
const (
	gateway    = 1   // Proxmox
	firstGuest = 10  // the first guest
	lastGuest  = 250 // and the last
	claim      = 254 // where the block is claimed against other labs
)

// claimPort is listened on at the block's claim address for as long as the lab runs.
const claimPort = "8006"

// network is the lab's own block of loopback addresses, 127.A.B.0/24, and who has which of them.
type network struct {
	mu     sync.Mutex
	path   string
	held   net.Listener
	Block  string      `json:"block"` // "127.A.B"
	Leases map[int]int `json:"leases"`
	// Of real machines: the backend's name, and their own network.
	Backend string `json:"backend,omitempty"`
	Subnet  string `json:"subnet,omitempty"`

	guest func(host int) string // the address of a machine; one of the block where nil
}

// openNetwork takes the block that the folder remembers, or a free one, the first tried being that of
// the folder's name.
func openNetwork(dir string) (*network, error) {
	n := &network{path: filepath.Join(dir, "network.json"), Leases: map[int]int{}}
	text, err := os.ReadFile(n.path)
	if err == nil {
		if err := json.Unmarshal(text, n); err != nil {
			return nil, fmt.Errorf("%s: %w", n.path, err)
		}
		if err := n.take(n.Block); err != nil {
			return nil, fmt.Errorf("the lab's addresses %s.0/24 are in use by another program: stop it, or use another folder (--lab-dir): %w", n.Block, err)
		}
		return n, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	h := fnv.New32a()
	h.Write([]byte(dir))
	var last error
	for try := range uint32(64) {
		// The first 16 of 127.x.0.0/16 and the ends are left to others.
		at := (h.Sum32() + try) % (200 * 254)
		if last = n.take(fmt.Sprintf("127.%d.%d", 16+at/254, 1+at%254)); last == nil {
			return n, n.save()
		}
	}
	return nil, fmt.Errorf("no free block of loopback addresses for the lab (the last one tried failed with: %w)", last)
}

// take claims a block: nothing else may use it while the claim is held.
func (n *network) take(block string) error {
	for _, at := range []string{n.at(block, gateway), n.at(block, firstGuest)} {
		// The claim keeps labs apart; whatever else might listen there shows itself by its ports.
		l, err := net.Listen("tcp", net.JoinHostPort(at, claimPort))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	held, err := net.Listen("tcp", net.JoinHostPort(n.at(block, claim), claimPort))
	if err != nil {
		return err
	}
	n.Block, n.held = block, held
	return nil
}

func (n *network) at(block string, host int) string { return block + "." + strconv.Itoa(host) }

func (n *network) address(host int) string { return n.at(n.Block, host) }

// machine is the address of the machine with a number.
func (n *network) machine(host int) string {
	if n.guest != nil {
		return n.guest(host)
	}
	return n.address(host)
}

// lease is the number of a VM, the same each time; fresh says that it was given out just now. When all
// are taken, those of VMs that are no more are given out again.
func (n *network) lease(vmid int, inUse func() map[int]bool) (host int, fresh bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host, ok := n.Leases[vmid]; ok {
		return host, false, nil
	}
	host, ok := n.free()
	if !ok {
		if alive := inUse(); alive != nil {
			maps.DeleteFunc(n.Leases, func(id, _ int) bool { return !alive[id] })
		}
		if host, ok = n.free(); !ok {
			return 0, false, fmt.Errorf("the lab has no address left for VM %d: %d machines have one", vmid, len(n.Leases))
		}
	}
	n.Leases[vmid] = host
	return host, true, n.save()
}

// free is the lowest number that no VM has.
func (n *network) free() (int, bool) {
	taken := map[int]bool{}
	for _, host := range n.Leases {
		taken[host] = true
	}
	for host := firstGuest; host <= lastGuest; host++ {
		if !taken[host] {
			return host, true
		}
	}
	return 0, false
}

// leases are all addresses by VM id.
func (n *network) leases() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[string]string, len(n.Leases))
	for id, host := range n.Leases {
		out[strconv.Itoa(id)] = n.machine(host)
	}
	return out
}

func (n *network) save() error { return writeJSON(n.path, n) }

func (n *network) close() error {
	if n.held == nil {
		return nil
	}
	return n.held.Close()
}
