package proxmox

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// content lists what is on a storage: disk images of machines, and files.
func content(c *call) (any, error) {
	s, p := c.server, c.params
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.cluster.storage(p.get("storage"), c.node)
	if err != nil {
		return nil, err
	}
	want := func(kind string) bool { return st.holds(kind) && (!p.has("content") || p.get("content") == kind) }
	rows := []map[string]any{}
	for _, id := range s.ids() {
		g := s.guests[id]
		if !want("images") || p.has("vmid") && p.number("vmid", 0) != id || !st.Shared && g.Node != c.node {
			continue
		}
		for _, vol := range slices.Sorted(maps.Keys(g.Volumes)) {
			if storageOf(vol) == st.ID {
				rows = append(rows, g.Volumes[vol].row(vol, id))
			}
		}
	}
	if p.has("vmid") {
		return rows, nil
	}
	for _, kind := range []string{"iso", "vztmpl", "import", "snippets"} {
		if !want(kind) {
			continue
		}
		files, err := os.ReadDir(filepath.Dir(s.filePath(st.ID, c.node, kind, "x")))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(f.Name(), ".") {
				continue
			}
			rows = append(rows, map[string]any{
				"volid": st.ID + ":" + kind + "/" + f.Name(), "content": kind, "size": info.Size(), "ctime": info.ModTime().Unix(),
				"format": fileFormat(kind, f.Name()),
			})
		}
	}
	return rows, nil
}

func (v *volume) row(id string, owner int) map[string]any {
	row := map[string]any{"volid": id, "content": "images", "vmid": owner, "size": v.Bytes, "format": v.Format, "ctime": v.Made}
	if v.Base != "" {
		row["parent"] = strings.TrimPrefix(v.Base, storageOf(v.Base)+":")
	}
	return row
}

func fileFormat(kind, name string) string {
	switch kind {
	case "iso":
		return "iso"
	case "snippets":
		return "snippet"
	case "vztmpl":
		return "t" + strings.TrimPrefix(filepath.Ext(name), ".")
	}
	return strings.TrimPrefix(filepath.Ext(name), ".")
}

// volumeID is the volume of the path, with its storage's name if that was left out.
func volumeID(c *call) string {
	if v := c.params.get("volume"); strings.Contains(v, ":") {
		return v
	}
	return c.params.get("storage") + ":" + c.params.get("volume")
}

// file is the path of a volume that is a file; ok is false for disk images.
func (s *Server) file(volume, node string) (path string, ok bool) {
	_, name, _ := strings.Cut(volume, ":")
	kind, base, ok := strings.Cut(name, "/")
	if !ok || !slices.Contains([]string{"iso", "vztmpl", "import", "snippets"}, kind) {
		return "", false
	}
	return s.filePath(storageOf(volume), node, kind, base), true
}

func volumeInfo(c *call) (any, error) {
	s := c.server
	id := volumeID(c)
	if err := c.need("/storage/"+storageOf(id), "Datastore.Audit", "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if path, ok := s.file(id, c.node); ok {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("volume '%s' does not exist", id)
		}
		return map[string]any{"path": path, "size": info.Size(), "used": info.Size(), "format": fileFormat("", path)}, nil
	}
	for _, g := range s.guests {
		if v := g.Volumes[id]; v != nil {
			return map[string]any{"path": "/dev/" + strings.ReplaceAll(id, ":", "/"), "size": v.Bytes, "used": v.Bytes, "format": v.Format}, nil
		}
	}
	return nil, fmt.Errorf("volume '%s' does not exist", id)
}
