package proxmox

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (s *Server) storageRoutes(add addRoute) {
	st := "/nodes/{node}/storage/{storage}"
	audit := on("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")
	types := []string{
		"btrfs", "cephfs", "cifs", "dir", "esxi", "iscsi", "iscsidirect", "lvm", "lvmthin", "nfs", "pbs", "rbd", "zfs", "zfspool",
	}
	if !s.flavor.nine() {
		types = append(types, "glusterfs")
	}
	add(get, "/storage", nil, table{"type": oneOf(types...)}, storageConfig)
	add(get, "/nodes/{node}/storage", nil, table{
		"content": str(), "enabled": boolean(), "format": boolean(), "storage": formatted(formatStorage), "target": formatted(formatNode),
	}, nodeStorages)
	add(get, st+"/status", audit, nil, storageStatus)
	add(get, st+"/content", audit, table{"content": str(), "vmid": vmidParam()}, content)
	add(remove, st+"/content/{volume}", nil, table{"delay": integer().atLeast(1).atMost(30)}, deleteVolume)
	add(get, st+"/content/{volume}", nil, nil, volumeInfo)
	hashes := oneOf("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
	kinds := oneOf("iso", "vztmpl", "import").req()
	add(post, st+"/download-url", mayDownload, table{
		"content": kinds, "filename": str().chars(255).req(), "url": matching(`https?://.*`).req(), "checksum": str(),
		"checksum-algorithm": hashes, "compression": str(), "verify-certificates": boolean(),
	}, downloadURL)
	add(post, st+"/upload", on("/storage/{storage}", "Datastore.AllocateTemplate"), table{
		"content": kinds, "filename": str().chars(255).req(), "checksum": str(), "checksum-algorithm": hashes,
		"tmpfilename": matching(`/var/tmp/pveupload-[0-9a-f]+`),
	}, uploadFile)
}

// filePath is where a file of a storage is in the lab's folder. Local storages have one per node.
func (s *Server) filePath(storage, node, kind, base string) string {
	where := node
	for _, st := range s.cluster.Storages {
		if st.ID == storage && st.Shared {
			where = "shared"
		}
	}
	return filepath.Join(s.opts.Dir, "storage", where, storage, kind, filepath.Base("/"+base))
}

func (s *Server) hasFile(storage, node, kind, base string) bool {
	info, err := os.Stat(s.filePath(storage, node, kind, base))
	return err == nil && info.Mode().IsRegular()
}

// StoragePath is the folder that holds a storage's files of one content type ("snippets", "iso",
// "import", "vztmpl") on a node: what Proxmox's own users reach by SSH.
func (s *Server) StoragePath(storage, node, content string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return filepath.Dir(s.filePath(storage, node, content, "x"))
}

// imageBytes is the virtual size of a disk image: qcow2 says it in its header, others are as long as
// they are. 0 for what can't be read.
func imageBytes(path string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	head := make([]byte, 32)
	if _, err := f.ReadAt(head, 0); err == nil && string(head[:4]) == "QFI\xfb" {
		return int64(binary.BigEndian.Uint64(head[24:]))
	}
	if filepath.Ext(path) == ".qcow2" {
		return 0
	}
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// used is how many bytes of a storage are taken. s.mu is held.
func (s *Server) used(storage, node string) int64 {
	var sum int64
	for _, g := range s.guests {
		for id, v := range g.Volumes {
			if storageOf(id) == storage && (g.Node == node || s.shared(storage)) {
				sum += v.Bytes
			}
		}
	}
	return sum
}

func (s *Server) shared(storage string) bool {
	st, err := s.cluster.storage(storage, "")
	return err == nil && st.Shared
}

func storageConfig(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	for _, st := range s.cluster.Storages {
		if !c.mayLocked("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") || c.params.has("type") && c.params.get("type") != st.Type {
			continue
		}
		row := map[string]any{"storage": st.ID, "type": st.Type, "content": strings.Join(st.Content, ","), "digest": "0"}
		if st.Shared {
			row["shared"] = 1
		}
		if len(st.Nodes) > 0 {
			row["nodes"] = strings.Join(st.Nodes, ",")
		}
		if st.Disabled {
			row["disable"] = 1
		}
		if st.files() {
			row["path"] = "/var/lib/vz"
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// storageRow is a storage's state on a node. s.mu is held.
func (s *Server) storageRow(st *Storage, node string) map[string]any {
	used := s.used(st.ID, node)
	return map[string]any{
		"type": st.Type, "content": strings.Join(st.Content, ","), "shared": bit(st.Shared), "enabled": bit(!st.Disabled),
		"active": bit(!st.Disabled), "total": st.Bytes, "used": used, "avail": max(0, st.Bytes-used),
	}
}

func nodeStorages(c *call) (any, error) {
	s, p := c.server, c.params
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []map[string]any{}
	for _, st := range s.cluster.Storages {
		wanted := splitList(p.get("content"), "")
		if !st.on(c.node) || p.flag("enabled") && st.Disabled || p.has("storage") && p.get("storage") != st.ID ||
			!c.mayLocked("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") ||
			len(wanted) > 0 && !slices.ContainsFunc(wanted, st.holds) {
			continue
		}
		row := s.storageRow(st, c.node)
		row["storage"] = st.ID
		if st.Bytes > 0 {
			row["used_fraction"] = float64(row["used"].(int64)) / float64(st.Bytes)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func storageStatus(c *call) (any, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.cluster.storage(c.params.get("storage"), c.node)
	if err != nil {
		return nil, err
	}
	return s.storageRow(st, c.node), nil
}
