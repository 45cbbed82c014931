package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"phoenix-run/lab/docker/api"
)

// UpOptions are the flags of docker compose up -d.
type UpOptions struct {
	Pull          bool // fetch images that are there too
	ForceRecreate bool
	NoRecreate    bool
	RemoveOrphans bool
	Services      []string // only these and what they depend on; nil for all
	Wait          bool     // until all are running or healthy
	// HealthTimeout limits every wait for a service's health; default 30 s.
	HealthTimeout time.Duration
}

// Up brings a project to what its files say and writes compose's progress lines. It fails like compose:
// what was done stays done.
func Up(ctx context.Context, c *api.Client, p *types.Project, o UpOptions, progress io.Writer) error {
	if len(o.Services) > 0 {
		selected, err := p.WithSelectedServices(o.Services)
		if err != nil {
			return err
		}
		p = selected
	}
	d := &deployment{c: c, p: p, o: o, out: progress}
	if err := d.images(ctx); err != nil {
		return err
	}
	if err := d.resources(ctx); err != nil {
		return err
	}
	existing, err := c.Containers(ctx, true, api.Filters{"label": {labelProject + "=" + p.Name, labelOneoff + "=False"}})
	if err != nil {
		return err
	}
	if err := d.orphans(ctx, existing); err != nil {
		return err
	}
	order, err := startOrder(p)
	if err != nil {
		return err
	}
	for _, name := range order {
		if err := d.service(ctx, p.Services[name], existing); err != nil {
			return err
		}
	}
	if o.Wait {
		for _, name := range order {
			if err := d.await(ctx, name, "service_healthy"); err != nil {
				return err
			}
		}
	}
	return nil
}

type deployment struct {
	c   *api.Client
	p   *types.Project
	o   UpOptions
	out io.Writer
	ids map[string]string // image name to id
}

func (d *deployment) say(format string, args ...any) {
	fmt.Fprintf(d.out, " "+format+"\n", args...) //nolint:errcheck // progress is best effort
}

// images fetches what is missing, or all.
func (d *deployment) images(ctx context.Context) error {
	d.ids = map[string]string{}
	for _, name := range d.p.ServiceNames() {
		s := d.p.Services[name]
		ref := imageOf(d.p, s)
		image, err := d.c.Image(ctx, ref)
		if err != nil && !api.NotFound(err) {
			return err
		}
		missing := err != nil
		switch {
		case s.PullPolicy == types.PullPolicyNever && missing:
			return fmt.Errorf("service %q: %w", name, err)
		case s.PullPolicy == types.PullPolicyNever || d.ids[ref] != "":
		case missing || d.o.Pull || s.PullPolicy == types.PullPolicyAlways:
			d.say("%s Pulling ", name)
			if err := d.c.Pull(ctx, ref, nil); err != nil {
				d.say("%s Error %s", name, cause(err))
				return err
			}
			if image, err = d.c.Image(ctx, ref); err != nil {
				return err
			}
			d.say("%s Pulled ", name)
		}
		if d.ids[ref] == "" {
			d.ids[ref] = image.ID
		}
	}
	return nil
}

func cause(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func (d *deployment) service(ctx context.Context, s types.ServiceConfig, existing []api.Summary) error {
	for _, name := range sortedKeys(s.DependsOn) {
		dep := s.DependsOn[name]
		if _, enabled := d.p.Services[name]; !enabled {
			continue
		}
		if err := d.await(ctx, name, dep.Condition); err != nil {
			if dep.Required {
				return err
			}
			d.say("%v", err)
		}
	}
	hash, err := serviceHash(d.p, s)
	if err != nil {
		return err
	}
	imageID := d.ids[imageOf(d.p, s)]
	scale := s.GetScale()
	if s.ContainerName != "" && scale > 1 {
		return fmt.Errorf("WARNING: The %q service is using the custom container name %q. Docker requires each container to have a unique name. Remove the custom name to scale the service", s.Name, s.ContainerName)
	}
	mine := map[int]api.Summary{}
	for _, c := range existing {
		if c.Labels[labelService] != s.Name {
			continue
		}
		number := 0
		if _, err := fmt.Sscan(c.Labels[labelNumber], &number); err != nil || number > scale || number < 1 {
			if err := d.c.Remove(ctx, c.ID, true, false); err != nil && !api.NotFound(err) {
				return err
			}
			continue
		}
		mine[number] = c
	}
	for number := 1; number <= scale; number++ {
		if err := d.one(ctx, s, hash, imageID, number, mine[number]); err != nil {
			return err
		}
	}
	return nil
}

// one brings one container of a service up; old is the one that is there, if any.
func (d *deployment) one(ctx context.Context, s types.ServiceConfig, hash, imageID string, number int, old api.Summary) error {
	name := containerName(d.p, s, number)
	keep := old.ID != "" && (d.o.NoRecreate || !d.o.ForceRecreate && old.Labels[labelHash] == hash && old.ImageID == imageID)
	if keep && old.State == "running" {
		d.say("Container %s  Running", name)
		return nil
	}
	id := old.ID
	if !keep {
		verb := "Creat"
		if old.ID != "" {
			verb = "Recreat"
		}
		d.say("Container %s  %sing", name, verb)
		req, err := request(d.p, s, hash, imageID, number)
		if err != nil {
			return err
		}
		if old.ID != "" {
			// As compose does: the new one is made before the old one goes, under a name of its own.
			created, err := d.c.Create(ctx, id[:12]+"_"+name, req)
			if err != nil {
				d.say("Error response from daemon: %s", cause(err))
				return err
			}
			id = created.ID
			if err := d.c.Stop(ctx, old.ID); err != nil && !api.NotFound(err) {
				return err
			}
			if err := d.c.Remove(ctx, old.ID, true, false); err != nil && !api.NotFound(err) {
				return err
			}
			if err := d.c.Rename(ctx, id, name); err != nil {
				return err
			}
		} else {
			created, err := d.c.Create(ctx, name, req)
			if err != nil {
				d.say("Container %s  Error response from daemon: %s", name, cause(err))
				return err
			}
			id = created.ID
		}
		d.say("Container %s  %sed", name, verb)
	}
	d.say("Container %s  Starting", name)
	if err := d.c.Start(ctx, id); err != nil {
		d.say("Container %s  Error", name)
		return err
	}
	d.say("Container %s  Started", name)
	return nil
}
