package compose

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mount is a file that a service gets to see.
type Mount struct {
	Service string // "": the only one
	Source  string // on the machine
	Target  string // in the container
	Digest  string // of the content: another one makes the service's containers anew
}

// digestLabel holds the digests of the files that a service mounts, in the order of their targets.
const digestLabel = "phoenix-run.files"

// WithMounts adds read-only bind mounts to the services, and leaves the rest as it is: comments, order,
// and other services that share anchors with them. A label with the digests makes compose recreate
// those services whose files have changed, and no others.
func WithMounts(text string, mounts []Mount) (string, error) {
	if len(mounts) == 0 {
		return text, nil
	}
	doc, _, err := parse(text)
	if err != nil {
		return "", fmt.Errorf("mounting files: %w", err)
	}
	_, services := find(doc.Content[0], "services")
	all := names(services)
	if len(all) == 0 {
		return "", fmt.Errorf("mounting %s: the compose file has no services", mounts[0].Target)
	}
	detach(doc, resolve(services))
	services = resolve(services)
	perService := map[string][]Mount{}
	for _, m := range mounts {
		name, err := pick(all, m)
		if err != nil {
			return "", err
		}
		perService[name] = append(perService[name], m)
	}
	for _, name := range slices.Sorted(maps.Keys(perService)) {
		if err := mountInto(doc, services, name, perService[name]); err != nil {
			return "", err
		}
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(doc); err != nil {
		return "", fmt.Errorf("mounting files: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return "", fmt.Errorf("mounting files: %w", err)
	}
	return out.String(), nil
}

// pick gives the name of the service that a file is for.
func pick(all []string, m Mount) (string, error) {
	has := "the compose file has " + strings.Join(all, ", ")
	switch {
	case m.Service == "" && len(all) == 1:
		return all[0], nil
	case m.Service == "":
		return "", fmt.Errorf("mounting %s: say which service gets it; %s", m.Target, has)
	case !slices.Contains(all, m.Service):
		return "", fmt.Errorf("mounting %s: there is no service %q; %s", m.Target, m.Service, has)
	}
	return m.Service, nil
}

func mountInto(doc, services *yaml.Node, name string, mounts []Mount) error {
	service := own(doc, services, name)
	if service.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: the service %s is no mapping", service.Line, name)
	}
	volumes := own(doc, service, "volumes")
	if volumes.Tag == "!!null" { // it was missing, or empty
		*volumes = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	if volumes.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: volumes of the service %s is no list", volumes.Line, name)
	}
	slices.SortFunc(mounts, func(a, b Mount) int { return strings.Compare(a.Target, b.Target) })
	var digests []string
	for _, m := range mounts {
		for _, there := range volumes.Content {
			if target(there) == path.Clean(m.Target) {
				return fmt.Errorf("mounting %s: the service %s mounts something else there already (line %d)", m.Target, name, there.Line)
			}
		}
		volumes.Content = append(volumes.Content, mapping(
			scalar("type"), scalar("bind"), scalar("source"), scalar(m.Source), scalar("target"), scalar(m.Target),
			scalar("read_only"), literal("true"),
			// Without this, Docker makes a folder where the file is missing.
			scalar("bind"), mapping(scalar("create_host_path"), literal("false")),
		))
		digests = append(digests, m.Digest)
	}
	return label(doc, service, name, strings.Join(digests, " "))
}

// label gives a service the label with the digests.
func label(doc, service *yaml.Node, name, value string) error {
	labels := own(doc, service, "labels")
	if labels.Tag == "!!null" {
		*labels = *mapping()
	}
	switch labels.Kind {
	case yaml.MappingNode:
		if _, v := entry(labels, digestLabel); v != nil {
			*v = *scalar(value)
		} else {
			labels.Content = append(labels.Content, scalar(digestLabel), scalar(value))
		}
	case yaml.SequenceNode:
		labels.Content = slices.DeleteFunc(labels.Content, func(n *yaml.Node) bool {
			return strings.HasPrefix(resolve(n).Value, digestLabel+"=")
		})
		labels.Content = append(labels.Content, scalar(digestLabel+"="+value))
	default:
		return fmt.Errorf("line %d: labels of the service %s are neither a mapping nor a list", labels.Line, name)
	}
	return nil
}

// target gives the path in the container that an entry of volumes mounts something at.
func target(volume *yaml.Node) string {
	volume = resolve(volume)
	if volume.Kind == yaml.MappingNode {
		_, v := find(volume, "target")
		if v = resolve(v); v == nil {
			return ""
		}
		return path.Clean(v.Value)
	}
	parts := strings.Split(volume.Value, ":")
	if len(parts) == 1 {
		return path.Clean(parts[0])
	}
	return path.Clean(parts[1])
}

// own gives the value of a mapping's entry so that changing it changes this entry alone: what came by
// an alias or a merge becomes a copy of its own, and those who share what is here get one. A missing
// entry is made, empty.
func own(doc, parent *yaml.Node, key string) *yaml.Node {
	_, value := entry(parent, key)
	if value == nil {
		value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		if _, merged := find(parent, key); merged != nil {
			value = clone(resolve(merged))
		}
		parent.Content = append(parent.Content, scalar(key), value)
		return value
	}
	if value.Kind == yaml.AliasNode {
		*value = *clone(value.Alias)
		return value
	}
	detach(doc, value)
	return value
}

// detach gives everyone who refers to a node a copy of it.
func detach(doc, n *yaml.Node) {
	if n.Anchor == "" {
		return
	}
	var walk func(*yaml.Node)
	walk = func(at *yaml.Node) {
		if at.Kind == yaml.AliasNode && at.Alias == n {
			*at = *clone(n)
			return
		}
		for _, below := range at.Content {
			walk(below)
		}
	}
	walk(doc)
	n.Anchor = ""
}

// clone copies a node and all below it; the copies have no anchors.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Anchor, c.HeadComment, c.LineComment, c.FootComment = "", "", "", ""
	c.Content = nil
	for _, below := range n.Content {
		c.Content = append(c.Content, clone(below))
	}
	return &c
}

// scalar makes a text; compose would take a $ in it for a variable.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(strings.ReplaceAll(text, "$", "$$"))
	return n
}

func literal(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: value}
}

func mapping(content ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: content}
}
