package docker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"phoenix-run/lab/docker/api"
)

// image finds an image by name, id or beginning of an id. e.mu is held.
func (e *Engine) image(ref string) (api.Image, bool) {
	hex := strings.TrimPrefix(ref, "sha256:")
	for id, image := range e.images {
		if id == ref || len(hex) >= 12 && strings.HasPrefix(id, "sha256:"+hex) {
			return image, true
		}
	}
	parsed, err := api.ParseReference(ref)
	if err != nil {
		return api.Image{}, false
	}
	for _, image := range e.images {
		if parsed.Digest != "" && slices.Contains(image.RepoDigests, parsed.Familiar()+"@"+parsed.Digest) {
			return image, true
		}
		if parsed.Digest == "" && slices.Contains(image.RepoTags, parsed.String()) {
			return image, true
		}
	}
	return api.Image{}, false
}

// Pull fetches an image from its registry, which takes a little time, and tells whether it is new.
func (e *Engine) Pull(ctx context.Context, ref api.Reference) (image api.Image, fresh bool, err error) {
	name := ref.String()
	if fault := e.opts.Faults.Pull; fault != nil {
		if err := fault(e.host.Name(), name); err != nil {
			return image, false, refuse(http.StatusInternalServerError, "%v", err)
		}
	}
	if slices.Contains(e.opts.Missing, ref.Familiar()) {
		return image, false, refuse(http.StatusNotFound, "pull access denied for %s, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", ref.Familiar())
	}
	if slices.Contains(e.opts.Missing, name) {
		return image, false, refuse(http.StatusNotFound, "manifest for %s not found: manifest unknown: manifest unknown", name)
	}
	resolve := e.opts.Resolve
	if resolve == nil {
		resolve = anyImage
	}
	image, err = resolve(ref)
	if err != nil {
		return image, false, refuse(http.StatusNotFound, "%v", err)
	}
	e.mu.Lock()
	old, present := e.image(name)
	e.mu.Unlock()
	if present && old.ID == image.ID {
		return old, false, nil
	}
	select {
	case <-ctx.Done():
		return image, false, ctx.Err()
	case <-time.After(orDefault(e.opts.PullTime, 20*time.Millisecond)):
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if present { // the tag moves
		if current, found := e.images[old.ID]; found {
			current.RepoTags = slices.DeleteFunc(slices.Clone(current.RepoTags), func(t string) bool { return t == name })
			e.images[old.ID] = current
		}
	}
	if same, found := e.images[image.ID]; found {
		image.RepoTags = append(slices.Clone(same.RepoTags), image.RepoTags...)
		slices.Sort(image.RepoTags)
		image.RepoTags = slices.Compact(image.RepoTags)
	}
	e.images[image.ID] = image
	return image, true, e.commit()
}

// anyImage makes an image for any name; the same name is always the same image.
func anyImage(ref api.Reference) (api.Image, error) {
	id := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("image "+ref.String())))
	digest := ref.Digest
	if digest == "" {
		digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("manifest "+ref.String())))
	}
	image := api.Image{
		ID: id, RepoDigests: []string{ref.Familiar() + "@" + digest}, RepoTags: []string{},
		Created: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), Size: 100 << 20, Architecture: "amd64", Os: "linux",
		Config: api.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"/bin/sh"}},
	}
	if ref.Tag != "" {
		image.RepoTags = []string{ref.Familiar() + ":" + ref.Tag}
	}
	known(ref, &image.Config)
	return image, nil
}

// known fills in what a few images declare and people's commands rely on.
func known(ref api.Reference, c *api.Config) {
	switch ref.Familiar() {
	case "portainer/portainer-ce", "portainer/portainer-ee":
		c.Entrypoint, c.Cmd = []string{"/portainer"}, nil
		c.ExposedPorts = map[string]struct{}{"8000/tcp": {}, "9000/tcp": {}, "9443/tcp": {}}
		c.Volumes = map[string]struct{}{"/data": {}}
		c.WorkingDir = "/"
	case "portainer/agent":
		c.Entrypoint, c.Cmd = []string{"./agent"}, nil
		c.WorkingDir = "/app"
	case "hello-world":
		c.Cmd = []string{"/hello"}
	}
}

// RemoveImage removes a name, and the image with its last one.
func (e *Engine) RemoveImage(ref string, force bool) ([]map[string]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	image, found := e.image(ref)
	if !found {
		return nil, refuse(http.StatusNotFound, "No such image: %s", ref)
	}
	for _, c := range e.containers {
		if c.rec.Image == image.ID && (!force || c.rec.State.Running) && len(image.RepoTags) <= 1 {
			return nil, refuse(http.StatusConflict, "conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s", ref, c.rec.ID[:12], image.ID[7:19])
		}
	}
	out := []map[string]string{}
	if parsed, err := api.ParseReference(ref); err == nil && len(image.RepoTags) > 1 && slices.Contains(image.RepoTags, parsed.String()) {
		image.RepoTags = slices.DeleteFunc(slices.Clone(image.RepoTags), func(t string) bool { return t == parsed.String() })
		e.images[image.ID] = image
		return append(out, map[string]string{"Untagged": parsed.String()}), e.commit()
	}
	for _, tag := range image.RepoTags {
		out = append(out, map[string]string{"Untagged": tag})
	}
	delete(e.images, image.ID)
	return append(out, map[string]string{"Deleted": image.ID}), e.commit()
}
