package proxmox

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var newDisk = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(\d+(?:\.\d+)?)$`)

// volumeOf is the volume id of a stored drive.
func volumeOf(drive string) string {
	id, _, _ := strings.Cut(drive, ",")
	return strings.TrimPrefix(strings.TrimPrefix(id, "file="), "volume=")
}

func storageOf(volume string) string {
	id, _, _ := strings.Cut(volume, ":")
	return id
}

// storedDrive allocates, imports or checks what a drive names. s.mu is held.
func (c *call) storedDrive(g *guest, key, text string) (stored, image string, err error) {
	s := c.server
	format := driveFormats[busOf(key)]
	p, err := format.parse(key, text)
	if err != nil {
		return "", "", badParam(key, "invalid format - %s\n", err)
	}
	file := p["file"]
	switch m := newDisk.FindStringSubmatch(file); {
	case file == "none" || file == "cdrom":
		return format.String(p), "", nil
	case strings.HasSuffix(file, ":cloudinit"):
		return s.newCloudInitDrive(c, g, key, p, storageOf(file))
	case m != nil:
		return s.newDrive(c, g, key, p, m[1], m[2])
	case strings.HasPrefix(file, "/"):
		return "", "", die("Only root can pass arbitrary filesystem paths.")
	}
	if v := g.Volumes[file]; v != nil {
		p["size"] = sizeText(v.Bytes)
		return format.String(p), "", nil
	}
	if err := s.checkMedia(g.Node, file); err != nil {
		return "", "", err
	}
	p["media"] = "cdrom"
	return format.String(p), "", nil
}

// checkMedia checks an ISO image that a drive names.
func (s *Server) checkMedia(node, volume string) error {
	st, err := s.cluster.storage(storageOf(volume), node)
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(volume, ":")
	if kind, base, ok := strings.Cut(name, "/"); !ok || kind != "iso" || !s.hasFile(st.ID, node, "iso", base) {
		return fmt.Errorf("volume '%s' does not exist", volume)
	}
	return nil
}

func (s *Server) newCloudInitDrive(c *call, g *guest, key string, p props, storage string) (stored, image string, err error) {
	for other, text := range g.planned() {
		if isDisk(other) && other != key && isCloudInitVolume(volumeOf(text)) {
			return "", "", fmt.Errorf("%s - cloud-init drive is already attached at %s", key, other)
		}
	}
	if isCloudInitVolume(volumeOf(g.planned()[key])) {
		return g.planned()[key], "", nil
	}
	st, err := s.imageStorage(c, g.Node, storage)
	if err != nil {
		return "", "", err
	}
	id := st.ID + ":" + st.path(g.ID, fmt.Sprintf("vm-%d-cloudinit", g.ID), "")
	g.own(id, 4<<20, st.imageFormat(""), s)
	p["file"], p["media"], p["size"] = id, "cdrom", "4M"
	return driveFormats[busOf(key)].String(p), "", nil
}

func isCloudInitVolume(volume string) bool {
	return strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(volume, ".qcow2"), ".raw"), "-cloudinit")
}

// newDrive allocates an empty or imported image.
func (s *Server) newDrive(c *call, g *guest, key string, p props, storage, gib string) (stored, image string, err error) {
	st, err := s.imageStorage(c, g.Node, storage)
	if err != nil {
		return "", "", err
	}
	size, err := strconv.ParseFloat(gib, 64)
	if err != nil {
		return "", "", badParam(key, "invalid size '%s'", gib)
	}
	bytes := int64(size * (1 << 30))
	if source := p["import-from"]; source != "" {
		if size != 0 {
			return "", "", badParam(key, "disk size must be 0 when 'import-from' is used")
		}
		if image, bytes, err = s.importSource(c, g.Node, source); err != nil {
			return "", "", err
		}
		delete(p, "import-from")
	} else if bytes == 0 {
		return "", "", fmt.Errorf("unable to create image: %s: size 0", key)
	}
	id := g.newVolume(st, "disk", p["format"])
	g.own(id, bytes, st.imageFormat(p["format"]), s)
	p["file"], p["size"] = id, sizeText(bytes)
	delete(p, "format")
	return driveFormats[busOf(key)].String(p), image, nil
}

// importSource finds what a drive is to be imported from: a volume of type images or import.
func (s *Server) importSource(c *call, node, source string) (file string, bytes int64, err error) {
	if strings.HasPrefix(source, "/") {
		if !c.user.root() {
			return "", 0, die("Only root can pass arbitrary filesystem paths.")
		}
		return source, imageBytes(source), nil
	}
	st, err := s.cluster.storage(storageOf(source), node)
	if err != nil {
		return "", 0, err
	}
	if !c.mayLocked("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace", "Datastore.AllocateTemplate") {
		return "", 0, denied("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace")
	}
	_, name, _ := strings.Cut(source, ":")
	kind, base, isFile := strings.Cut(name, "/")
	switch {
	case isFile && (kind == "iso" || kind == "vztmpl" || kind == "snippets" || kind == "backup"):
		return "", 0, badParam("import-from", "%s has wrong type '%s' - needs to be 'images' or 'import'", source, kind)
	case isFile && kind == "import":
		if !s.hasFile(st.ID, node, kind, base) {
			return "", 0, fmt.Errorf("volume '%s' does not exist", source)
		}
		if !slices.Contains(s.flavor.importExts, filepath.Ext(base)) {
			return "", 0, fmt.Errorf("unable to parse volume filename '%s'", name)
		}
		path := s.filePath(st.ID, node, kind, base)
		size := imageBytes(path)
		if size == 0 {
			return "", 0, fmt.Errorf("file '%s' is no disk image: could not determine its virtual size", source)
		}
		return path, size, nil
	}
	for _, other := range s.guests {
		if v := other.Volumes[source]; v != nil {
			return source, v.Bytes, nil
		}
	}
	return "", 0, fmt.Errorf("volume '%s' does not exist", source)
}

// imageStorage is a storage that the caller may put disk images on. s.mu is held.
func (s *Server) imageStorage(c *call, node, id string) (*Storage, error) {
	st, err := s.cluster.storage(id, node)
	if err != nil {
		return nil, err
	}
	if !st.holds("images") {
		return nil, fmt.Errorf("storage '%s' does not support content-type 'images'", id)
	}
	if !c.mayLocked("/storage/"+id, "Datastore.AllocateSpace") {
		return nil, denied("/storage/"+id, "Datastore.AllocateSpace")
	}
	return st, nil
}

// path is an image's name on the storage: in a folder of the VM where images are files.
func (st *Storage) path(vmid int, name, format string) string {
	if !st.files() {
		return name
	}
	return fmt.Sprintf("%d/%s.%s", vmid, name, st.imageFormat(format))
}

func (st *Storage) imageFormat(wanted string) string {
	switch {
	case !st.files():
		return "raw"
	case wanted == "":
		return "qcow2"
	}
	return wanted
}

// newVolume is a free volume id for the machine on a storage; kind is "disk" or "state".
func (g *guest) newVolume(st *Storage, kind, format string) string {
	for n := 0; ; n++ {
		name := fmt.Sprintf("vm-%d-%s-%d", g.ID, kind, n)
		id := st.ID + ":" + st.path(g.ID, name, format)
		taken := slices.ContainsFunc(slices.Collect(maps.Keys(g.Volumes)), func(v string) bool {
			return strings.HasPrefix(v, st.ID+":") && strings.Contains(strings.ReplaceAll(v, "base-", "vm-")+".", name+".")
		})
		if !taken {
			return id
		}
	}
}

func (g *guest) own(id string, bytes int64, format string, s *Server) {
	if g.Volumes == nil {
		g.Volumes = map[string]*volume{}
	}
	g.Volumes[id] = &volume{Bytes: bytes, Format: format, Made: unix(s.now())}
}

// sizeText is a size as drives show it: in the largest unit that divides it.
func sizeText(bytes int64) string {
	for _, unit := range []struct {
		n    int64
		name string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if bytes >= unit.n && bytes%unit.n == 0 {
			return strconv.FormatInt(bytes/unit.n, 10) + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10)
}

var sizePattern = regexp.MustCompile(`^(\+?)(\d+(?:\.\d+)?)([KMGT]?)$`)

// parseSize reads a size, in bytes if it names no unit; plus says that it is an addition.
func parseSize(text string) (bytes int64, plus bool, ok bool) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, false, false
	}
	n, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return 0, false, false
	}
	shift := map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[m[3]]
	return int64(n * float64(int64(1)<<shift)), m[1] == "+", true
}
