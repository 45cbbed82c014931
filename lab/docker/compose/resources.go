package compose

import (
	"context"
	"fmt"
	"strings"

	"phoenix-run/lab/docker/api"
)

// resources makes networks and volumes that are missing.
func (d *deployment) resources(ctx context.Context) error {
	for _, key := range sortedKeys(d.p.Networks) {
		n := d.p.Networks[key]
		if !d.usesNetwork(key) {
			continue
		}
		_, err := d.c.Network(ctx, n.Name)
		switch {
		case err == nil:
			continue
		case !api.NotFound(err):
			return err
		case bool(n.External):
			return fmt.Errorf("network %s declared as external, but could not be found", n.Name)
		}
		d.say("Network %s  Creating", n.Name)
		labels := map[string]string{labelProject: d.p.Name, labelNetwork: key, labelVersion: composeVersion}
		for k, v := range n.Labels {
			labels[k] = v
		}
		if _, err := d.c.CreateNetwork(ctx, api.NetworkCreate{Name: n.Name, Driver: n.Driver, Internal: n.Internal, Attachable: n.Attachable, Labels: labels, Options: n.DriverOpts}); err != nil {
			d.say("Network %s  Error", n.Name)
			return fmt.Errorf("failed to create network %s: %w", n.Name, err)
		}
		d.say("Network %s  Created", n.Name)
	}
	for _, key := range sortedKeys(d.p.Volumes) {
		v := d.p.Volumes[key]
		_, err := d.c.Volume(ctx, v.Name)
		switch {
		case err == nil:
			continue
		case !api.NotFound(err):
			return err
		case bool(v.External):
			return fmt.Errorf("external volume %q not found", v.Name)
		}
		d.say("Volume \"%s\"  Creating", v.Name)
		labels := map[string]string{labelProject: d.p.Name, labelVolume: key, labelVersion: composeVersion}
		for k, value := range v.Labels {
			labels[k] = value
		}
		if _, err := d.c.CreateVolume(ctx, api.VolumeCreate{Name: v.Name, Driver: v.Driver, DriverOpts: v.DriverOpts, Labels: labels}); err != nil {
			d.say("Volume \"%s\"  Error", v.Name)
			return err
		}
		d.say("Volume \"%s\"  Created", v.Name)
	}
	return nil
}

func (d *deployment) usesNetwork(key string) bool {
	for _, s := range d.p.Services {
		if _, uses := s.Networks[key]; uses {
			return true
		}
	}
	return false
}

// orphans removes, or names, containers of services that the project no longer has.
func (d *deployment) orphans(ctx context.Context, existing []api.Summary) error {
	var names []string
	for _, c := range existing {
		service := c.Labels[labelService]
		_, enabled := d.p.Services[service]
		_, disabled := d.p.DisabledServices[service]
		if enabled || disabled {
			continue
		}
		name := strings.TrimPrefix(c.Names[0], "/")
		if !d.o.RemoveOrphans {
			names = append(names, name)
			continue
		}
		d.say("Container %s  Stopping", name)
		if err := d.c.Remove(ctx, c.ID, true, false); err != nil && !api.NotFound(err) {
			return err
		}
		d.say("Container %s  Removed", name)
	}
	if len(names) > 0 {
		d.say("Found orphan containers (%s) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.", fmt.Sprint(names))
	}
	return nil
}
