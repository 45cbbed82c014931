package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// wants lists where a unit's links stand when it is enabled.
func (u *units) wants(settings map[string][]string, name string) (links []string) {
	for key, dir := range map[string]string{"Install.WantedBy": ".wants/", "Install.RequiredBy": ".requires/"} {
		for _, target := range strings.Fields(strings.Join(settings[key], " ")) {
			links = append(links, "/etc/systemd/system/"+target+dir+name)
		}
	}
	for _, alias := range strings.Fields(strings.Join(settings["Install.Alias"], " ")) {
		links = append(links, "/etc/systemd/system/"+alias)
	}
	slices.Sort(links)
	return links
}

// fileState is what systemctl is-enabled says.
func (u *units) fileState(name string) string {
	file, masked, found := u.file(name)
	switch {
	case !found:
		return ""
	case masked:
		return "masked"
	}
	if path.Base(file) != name {
		return "alias"
	}
	links := u.wants(u.settings(file), name)
	if len(links) == 0 {
		return "static"
	}
	for _, link := range links {
		if _, err := u.r.g.root().Lstat(link); err == nil {
			return "enabled"
		}
	}
	return "disabled"
}

// enable makes a unit's links, or takes them away. It tells which.
func (u *units) enable(name string, on bool, say io.Writer) error {
	file, masked, found := u.file(name)
	verb := map[bool]string{true: "enable", false: "disable"}[on]
	if !found {
		return saidf("Failed to %s unit: Unit file %s does not exist.", verb, name)
	}
	if masked && on {
		return saidf("Failed to %s unit: Unit file %s is masked.", verb, file)
	}
	v := u.r.g.root()
	for _, link := range u.wants(u.settings(file), path.Base(file)) {
		_, err := v.Lstat(link)
		there := err == nil
		switch {
		case on && !there:
			if err := errors.Join(v.MkdirAll(path.Dir(link), 0o755), v.Symlink(file, link)); err != nil {
				return err
			}
			fmt.Fprintf(say, "Created symlink %s → %s.\n", link, file) //nolint:errcheck // as systemctl
		case !on && there:
			if err := v.Unlink(link); err != nil {
				return err
			}
			fmt.Fprintf(say, "Removed %s.\n", link) //nolint:errcheck // as systemctl
		default:
			continue
		}
		u.r.g.Touch()
	}
	return nil
}

// startEnabled starts what is to be there after a boot.
func (u *units) startEnabled(ctx context.Context) {
	v := u.r.g.root()
	var names []string
	for _, target := range []string{"sysinit.target", "sockets.target", "timers.target", "multi-user.target", "cloud-init.target"} {
		list, err := v.ReadDir("/etc/systemd/system/" + target + ".wants")
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				u.r.g.Journal("systemd", err.Error())
			}
			continue
		}
		for _, f := range list {
			if !slices.Contains(names, f.Name()) {
				names = append(names, f.Name())
			}
		}
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return
		}
		if err := u.start(ctx, name); err != nil {
			u.r.g.Journal("systemd", err.Error())
		}
	}
}
