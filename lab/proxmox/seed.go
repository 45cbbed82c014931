package proxmox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"phoenix-run/lab/machine"
)

// Seed is what a fresh server starts as.
type Seed struct {
	Cluster   Cluster
	Templates []Template
}

// Template is a VM template that is there from the start, made from a cloud image: serial console,
// cloud-init drive, agent on.
type Template struct {
	VMID      int
	Name      string
	Node      string
	Storage   string
	DiskBytes int64
	Image     string // the cloud image; "" for one that is made up
}

// DefaultTemplate is the template of the guide.
const DefaultTemplate = "ubuntu-22.04-cloud-template-v3"

// Storages of a fresh Proxmox with ZFS: files, disk images on ZFS, and a thin pool.
func defaultStorages() []*Storage {
	return []*Storage{
		{ID: "local", Type: "dir", Content: []string{"iso", "vztmpl", "import", "snippets", "backup"}, Bytes: 100 << 30},
		{ID: "local-zfs", Type: "zfspool", Content: []string{"images", "rootdir"}, Bytes: 8 << 40},
		{ID: "local-lvm", Type: "lvmthin", Content: []string{"images", "rootdir"}, Bytes: 8 << 40},
	}
}

// DefaultSeed is one node, pve, with storages local, local-zfs and local-lvm, bridge vmbr0, the guide's
// template as VM 9000, and root@pam with the given password and token, the latter an administrator.
func DefaultSeed(password, tokenSecret string) *Seed {
	return &Seed{
		Cluster: Cluster{
			Nodes:    []*Node{{Name: "pve", IP: "192.0.2.10", CPUs: 32, Memory: 256 << 30, Bridges: []string{"vmbr0"}}},
			Storages: defaultStorages(),
			Users: []*User{
				{ID: "root@pam", Password: password},
				{ID: "phoenix@pve", Password: password, Tokens: []*Token{{ID: "run", Secret: tokenSecret}}},
			},
			ACL: []ACL{{Path: "/", Subject: "phoenix@pve", Role: "Administrator"}},
		},
		Templates: []Template{{VMID: 9000, Name: DefaultTemplate, Node: "pve", Storage: "local-zfs", DiskBytes: 2252 << 20}},
	}
}

// seed fills an empty state.
func (s *Server) seed(ctx context.Context) error {
	seed := s.opts.Seed
	if seed == nil {
		return errors.New("lab: an empty folder needs a seed")
	}
	if len(seed.Cluster.Nodes) == 0 {
		return errors.New("lab: a Proxmox environment has at least one node")
	}
	s.cluster = &seed.Cluster
	for _, t := range seed.Templates {
		if err := s.seedTemplate(ctx, t); err != nil {
			return fmt.Errorf("template %s: %w", t.Name, err)
		}
	}
	// Last, so that a kill before it leaves a folder that is seeded again.
	_, err := s.store.save("cluster.json", s.cluster)
	return err
}

func (s *Server) seedTemplate(ctx context.Context, t Template) error {
	st, err := s.cluster.storage(t.Storage, t.Node)
	if err != nil {
		return err
	}
	g := &guest{ID: t.VMID, Node: t.Node, Config: map[string]string{
		"name": t.Name, "agent": "1", "cores": "2", "memory": "2048", "sockets": "1", "ostype": "l26", "scsihw": "virtio-scsi-pci",
		"net0": "virtio=" + newMAC() + ",bridge=vmbr0", "serial0": "socket", "vga": "serial0", "boot": "order=scsi0",
		"meta": fmt.Sprintf("creation-qemu=%s,ctime=%d", s.flavor.qemu, unix(s.now())), "smbios1": "uuid=" + newUUID(), "vmgenid": newUUID(),
	}}
	disk := g.newVolume(st, "disk", "")
	g.own(disk, t.DiskBytes, st.imageFormat(""), s)
	g.Config["scsi0"] = disk + ",size=" + sizeText(t.DiskBytes)
	ci := st.ID + ":" + st.path(g.ID, fmt.Sprintf("vm-%d-cloudinit", g.ID), "")
	g.own(ci, 4<<20, st.imageFormat(""), s)
	g.Config["ide2"] = ci + ",media=cdrom"
	image, err := s.cloudImage(t)
	if err != nil {
		return err
	}
	spec := s.spec(g.ID, g.Config, g)
	spec.Image = image
	m, err := s.opts.Backend.Create(ctx, g.ID, spec)
	if err != nil {
		return err
	}
	g.toTemplate()
	s.guests[g.ID], s.machines[g.ID] = g, m
	_, err = s.store.save(guestFile(g.ID), g)
	return err
}

// cloudImage gives the image that a template was made of. Of one that is made up it writes a qcow2 header with the right size, as
// nothing ever reads more of it.
func (s *Server) cloudImage(t Template) (string, error) {
	if t.Image != "" {
		return t.Image, nil
	}
	path := filepath.Join(s.opts.Dir, "images", strings.ReplaceAll(t.Name, "/", "-")+".qcow2")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, replaceFile(path, qcow2Header(t.DiskBytes))
}

// qcow2Header is an empty qcow2 image, version 3, with clusters of 64 KiB.
func qcow2Header(bytes int64) []byte {
	head := make([]byte, 104)
	copy(head, "QFI\xfb")
	binary.BigEndian.PutUint32(head[4:], 3)
	binary.BigEndian.PutUint32(head[20:], 16)
	binary.BigEndian.PutUint64(head[24:], uint64(bytes))
	binary.BigEndian.PutUint32(head[96:], 4)
	binary.BigEndian.PutUint32(head[100:], 104)
	return head
}

// resume opens a state that an earlier process left, killed or closed.
func (s *Server) resume(ctx context.Context, tasks []*task) error {
	guests, err := s.store.guests()
	if err != nil {
		return err
	}
	s.guests = guests
	dying := map[int]bool{} // were being destroyed
	for _, t := range tasks {
		s.tasks[t.UPID] = t
		s.order = append(s.order, t)
		s.pid = max(s.pid, t.PID)
		if t.End == 0 {
			dying[atoi(t.ID)] = t.Type == "qmdestroy"
			if err := s.rollBack(ctx, t); err != nil {
				return err
			}
		}
	}
	for _, id := range s.ids() {
		g := s.guests[id]
		m, err := s.opts.Backend.Open(ctx, id)
		if err != nil && dying[id] {
			// The kill came between the machine's end and that of its configuration.
			delete(s.guests, id)
			if err := s.store.remove(guestFile(id)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("VM %d: %w", id, err)
		}
		s.machines[id] = m
		if g.Running && m.Power() == machine.Stopped {
			if err := m.Start(ctx, s.spec(id, g.Config, g)); err != nil {
				return fmt.Errorf("VM %d: %w", id, err)
			}
		}
		s.refresh(id)
	}
	return s.saveAll()
}

// rollBack ends a task whose process was killed: what it was making is removed, what it had locked is
// free again, and it has failed, as a worker that a signal ended.
func (s *Server) rollBack(ctx context.Context, t *task) error {
	id := atoi(t.ID)
	if t.Target != 0 {
		id = t.Target
	}
	if g := s.guests[id]; g != nil {
		switch g.lock() {
		case "clone", "create":
			if m, err := s.opts.Backend.Open(ctx, id); err == nil {
				if err := m.Destroy(ctx); err != nil {
					return err
				}
			}
			delete(s.guests, id)
			if err := s.store.remove(guestFile(id)); err != nil {
				return err
			}
		case "":
		default:
			delete(g.Config, "lock")
		}
	}
	t.End = unix(s.now())
	t.Exit = errInterrupted.Error()
	t.Log = append(t.Log, "TASK ERROR: "+t.Exit)
	close(t.done)
	return s.journal.write(t)
}

// Cluster changes what the nodes share: nodes going off or on, users, rights, storages. It is how tests
// and the lab's owner play the administrator.
func (s *Server) Cluster(change func(*Cluster)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.cluster)
	_, err := s.store.save("cluster.json", s.cluster)
	return err
}

// VMs are the numbers of all machines, in order.
func (s *Server) VMs() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.guests))
}
