// Package compose checks compose files before they are sent, mounts files into their services, and
// compares them by meaning.
package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// Check refuses a compose file that Docker would refuse. name is the file's, for messages.
func Check(text, name, project string, variables map[string]string) error {
	_, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		ConfigFiles: []types.ConfigFile{{Filename: name, Content: []byte(text)}},
		Environment: variables,
	}, func(o *loader.Options) {
		o.SetProjectName(project, true)
		o.SkipResolveEnvironment = true
		o.SkipInclude = true
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Mount is a file that a service gets to see.
type Mount struct {
	Service string // "": the only service, or else all of them
	Source  string // on the machine
	Target  string // in the container
	Digest  string // of the content: another one makes the service's containers anew
}

// digestLabel holds the digest of the files that a service mounts.
const digestLabel = "phoenix-run.files"

// WithMounts adds read-only bind mounts to the services, and leaves the rest of the text as it is.
func WithMounts(text string, mounts []Mount) (string, error) {
	if len(mounts) == 0 {
		return text, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	if len(doc.Content) == 0 {
		return "", errors.New("the compose file is empty")
	}
	services := child(doc.Content[0], "services")
	if services == nil || services.Kind != yaml.MappingNode {
		return "", errors.New("the compose file has no services")
	}
	names := keys(services)
	digests := map[string][]string{}
	for _, m := range mounts {
		targets := names
		if m.Service != "" {
			if !slices.Contains(names, m.Service) {
				return "", fmt.Errorf("the compose file has no service %q for %s; it has: %s", m.Service, m.Target, strings.Join(names, ", "))
			}
			targets = []string{m.Service}
		} else if len(names) > 1 {
			return "", fmt.Errorf("%s: say which service gets it (\"service\"); the compose file has: %s", m.Target, strings.Join(names, ", "))
		}
		for _, name := range targets {
			if err := addVolume(child(services, name), m); err != nil {
				return "", fmt.Errorf("service %s: %w", name, err)
			}
			digests[name] = append(digests[name], m.Digest)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		if err := addLabel(child(services, name), strings.Join(digests[name], " ")); err != nil {
			return "", fmt.Errorf("service %s: %w", name, err)
		}
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&doc); err != nil {
		return "", err
	}
	return out.String(), encoder.Close()
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func keys(n *yaml.Node) []string {
	var names []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		names = append(names, n.Content[i].Value)
	}
	return names
}

func addVolume(service *yaml.Node, m Mount) error {
	if service == nil || service.Kind != yaml.MappingNode {
		return errors.New("it is no mapping")
	}
	volumes := child(service, "volumes")
	if volumes == nil {
		volumes = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		service.Content = append(service.Content, text("volumes"), volumes)
	}
	if volumes.Kind != yaml.SequenceNode {
		return errors.New("its volumes are no list")
	}
	mount := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		text("type"), text("bind"), text("source"), text(m.Source), text("target"), text(m.Target),
		text("read_only"), {Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"}}}
	volumes.Content = append(volumes.Content, mount)
	return nil
}

func addLabel(service *yaml.Node, digest string) error {
	labels := child(service, "labels")
	switch {
	case labels == nil:
		labels = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		service.Content = append(service.Content, text("labels"), labels)
		fallthrough
	case labels.Kind == yaml.MappingNode:
		labels.Content = append(labels.Content, text(digestLabel), text(digest))
	case labels.Kind == yaml.SequenceNode:
		labels.Content = append(labels.Content, text(digestLabel+"="+digest))
	default:
		return errors.New("its labels are neither a mapping nor a list")
	}
	return nil
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(strings.ReplaceAll(s, "$", "$$")) // compose would take $ for a variable
	return n
}

// Equal reports whether two compose files mean the same, whatever their comments and order.
func Equal(a, b string) bool {
	var x, y any
	if yaml.Unmarshal([]byte(a), &x) != nil || yaml.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	return reflect.DeepEqual(x, y)
}
