// Package image makes the system that the lab's real machines run, from the packages of the
// distribution that this machine runs itself, and keeps it in the user's cache.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"

	"phoenix-run/lab/machine/need"
)

// recipe changes whenever what this package makes of the packages does.
const recipe = "5"

// packages are what a cloud image has, and a real machine needs.
var packages = []string{
	"apparmor", "busybox-static", "ca-certificates", "cloud-guest-utils", "cloud-init", "curl", "dbus", "e2fsprogs", "fdisk",
	"iproute2", "iptables", "less", "linux-image-cloud-amd64", "locales", "netbase", "openssh-server", "procps",
	"qemu-guest-agent", "sudo", "systemd-resolved", "libnss-resolve", "systemd-sysv", "systemd-timesyncd", "udev",
}

// Image is a system that was made. Nothing in it may be changed.
type Image struct {
	Root string // its file tree; "" for an image that was added as a file
	Disk string // the same as a qcow2 disk; see Build
	// Kernel, Initrd and Cmdline start the disk where it can't start by itself.
	Kernel, Initrd, Cmdline string
}

// CacheDir is where images are kept.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where images are to be kept is not known (set XDG_CACHE_HOME): %w", err)
	}
	return filepath.Join(dir, "phoenix-run", "images"), nil
}

// Build gives the lab's Debian image, and makes what is not in the cache: the tree, and with disk the
// qcow2 file too. progress is told of each step that takes time. It takes root.
func Build(ctx context.Context, disk bool, progress func(string)) (Image, error) {
	cache, err := CacheDir()
	if err != nil {
		return Image{}, err
	}
	sources, suite, err := aptSources("/")
	if err != nil {
		return Image{}, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Image{}, err
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{recipe, suite}, packages...), "\n")))
	dir := filepath.Join(cache, suite+"-"+hex.EncodeToString(sum[:6]))
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return Image{}, fmt.Errorf("waiting for another process that makes the image: %w", err)
	}
	defer lock.Unlock() //nolint:errcheck // it goes with the process at the latest
	im := Image{Root: filepath.Join(dir, "root")}
	if !exists(im.Root) {
		if err := makeTree(ctx, dir, im.Root, sources, suite, progress); err != nil {
			return Image{}, fmt.Errorf("making the image: %w", err)
		}
	}
	if !disk {
		return im, nil
	}
	im.Disk, im.Kernel, im.Initrd = filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")
	im.Cmdline = cmdline
	if !exists(im.Disk) {
		if err := makeDisk(ctx, dir, im, progress); err != nil {
			return Image{}, fmt.Errorf("making the disk image: %w", err)
		}
	}
	return im, nil
}

// Find gives the image that was added last, and where none was, the one that Build makes.
func Find(ctx context.Context, progress func(string)) (Image, error) {
	cache, err := CacheDir()
	if err != nil {
		return Image{}, err
	}
	if file := filepath.Join(cache, added); exists(file) {
		return Image{Disk: file}, nil
	}
	return Build(ctx, true, progress)
}

// added is the image that was added, in the cache.
const added = "added.qcow2"

// Add copies a cloud image into the cache, where Find finds it, and gives its path there.
func Add(ctx context.Context, file string) (string, error) {
	if err := need.Programs("qemu-img"); err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(cache, added)
	if _, err := need.Run(ctx, "qemu-img", "convert", "-O", "qcow2", file, path+".new"); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// makeTree installs the packages into a folder of their own.
func makeTree(ctx context.Context, dir, root string, sources []string, suite string, progress func(string)) error {
	if os.Geteuid() != 0 {
		return errors.New("making an image takes root; phoenix-run lab image add FILE takes a cloud image as it is")
	}
	if err := need.Programs("mmdebstrap"); err != nil {
		return err
	}
	work := root + ".new"
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	progress(fmt.Sprintf("installing Debian %s into %s", suite, root))
	argv := []string{"mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase", "--include=" + strings.Join(packages, ","),
		`--aptopt=APT::Install-Recommends "false"`, `--customize-hook=chroot "$1" systemctl enable --quiet systemd-networkd.service systemd-resolved.service systemd-timesyncd.service`, suite, work}
	if _, err := need.Run(ctx, append(argv, sources...)...); err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	if err := finishTree(work); err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return os.Rename(work, root)
}

// tree are files of the image that are not its packages' own.
var tree = map[string]string{
	"etc/hostname":    "localhost\n",
	"etc/fstab":       "",
	"etc/locale.conf": "LANG=C.UTF-8\n",
	// cloud-init looks nowhere else, and makes the one host key that is needed: both save time.
	"etc/cloud/cloud.cfg.d/90_lab.cfg": "datasource_list: [NoCloud, None]\nlocale: false\nssh_genkeytypes: [ed25519]\n",
	// Else a static address waits for a router that is not there.
	"etc/systemd/network/10-cloud-init-eth0.network.d/lab.conf": "[Network]\nIPv6AcceptRA=no\n",
	// Without recommended packages, as the image was made: apt's own default is asked for again.
	"etc/apt/apt.conf.d/99mmdebstrap": "",
}

// masked are units that would only take time, or apt's lock at a moment of their own.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
	"getty@tty1.service", "console-getty.service",
}

// finishTree takes out what machines must not share, and sets what the lab needs.
func finishTree(root string) error {
	keys, err := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*"))
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := os.Remove(k); err != nil {
			return err
		}
	}
	for name, text := range tree {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	units := filepath.Join(root, "etc/systemd/system")
	for _, unit := range masked {
		if err := replaceLink("/dev/null", filepath.Join(units, unit)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o444)
}

func replaceLink(target, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, path)
}

// aptSources are the files of this machine's apt that name the distribution itself, and its release.
func aptSources(root string) (files []string, suite string, err error) {
	text, err := os.ReadFile(filepath.Join(root, "etc/os-release"))
	if err != nil {
		return nil, "", err
	}
	release := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		release[key] = strings.Trim(value, `"`)
	}
	suite = release["VERSION_CODENAME"]
	if release["ID"] != "debian" || suite == "" {
		return nil, "", fmt.Errorf("an image is made from this machine's own distribution, which must be Debian and is %s: use phoenix-run lab image add FILE with a cloud image", release["PRETTY_NAME"])
	}
	for _, pattern := range []string{"etc/apt/sources.list", "etc/apt/sources.list.d/*.list", "etc/apt/sources.list.d/*.sources"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, "", err
		}
		for _, f := range found {
			text, err := os.ReadFile(f)
			if err != nil {
				return nil, "", err
			}
			if namesDistribution(string(text), suite) {
				files = append(files, f)
			}
		}
	}
	if files == nil {
		return nil, "", fmt.Errorf("none of this machine's apt sources names Debian %s and its component main", suite)
	}
	return files, suite, nil
}

// namesDistribution reports whether a sources file has the release, or its updates, with component main.
func namesDistribution(text, suite string) bool {
	var words []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	return slices.Contains(words, "main") && slices.ContainsFunc(words, func(w string) bool {
		return w == suite || w == suite+"-updates" || w == suite+"-security"
	})
}
