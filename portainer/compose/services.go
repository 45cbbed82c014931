package compose

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Service is what of a service can be told before it runs.
type Service struct {
	Name  string
	Image string // as it is written: variables are not filled in
	// Replicas is how many containers it has at least: 0 for one that a profile leaves out, and where a
	// variable says how many.
	Replicas int
	// Once tells that its containers do their work and end: restart is said to be "no" or "on-failure",
	// or another service waits for it to have ended.
	Once bool
	// Ports are those that it publishes on the machine, as they are written: "8080:80".
	Ports []string
}

// Services lists the services of a compose file in its order. It is nil where the file does not tell
// all, because it includes others.
func Services(text string) ([]Service, error) {
	doc, values, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the compose file: %w", err)
	}
	if _, ok := values["include"]; ok {
		return nil, nil
	}
	all, _ := values["services"].(map[string]any)
	_, node := find(doc.Content[0], "services")
	var list []Service
	for _, name := range names(node) {
		service, _ := all[name].(map[string]any)
		image, _ := service["image"].(string)
		list = append(list, Service{name, image, replicas(service), once(service), ports(service["ports"])})
	}
	for _, v := range all {
		service, _ := v.(map[string]any)
		depends, _ := service["depends_on"].(map[string]any)
		for name, v := range depends {
			on, _ := v.(map[string]any)
			if i := slices.IndexFunc(list, func(s Service) bool { return s.Name == name }); i >= 0 && on["condition"] == "service_completed_successfully" {
				list[i].Once = true
			}
		}
	}
	return list, nil
}

// names gives the keys of a mapping in their order.
func names(mapping *yaml.Node) []string {
	mapping = resolve(mapping)
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	var list []string
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if key := mapping.Content[i].Value; key != "<<" {
			list = append(list, key)
			continue
		}
		merged := resolve(mapping.Content[i+1])
		sources := []*yaml.Node{merged}
		if merged.Kind == yaml.SequenceNode {
			sources = merged.Content
		}
		for _, source := range sources {
			list = append(list, names(source)...)
		}
	}
	return unique(list)
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func replicas(service map[string]any) int {
	if profiles, ok := service["profiles"].([]any); ok && len(profiles) > 0 {
		return 0
	}
	deploy, _ := service["deploy"].(map[string]any)
	for _, v := range []any{deploy["replicas"], service["scale"]} {
		switch v := v.(type) {
		case int:
			return v
		case string: // a variable
			return 0
		}
	}
	return 1
}

func once(service map[string]any) bool {
	deploy, _ := service["deploy"].(map[string]any)
	policy, _ := deploy["restart_policy"].(map[string]any)
	if c, ok := policy["condition"].(string); ok {
		return c == "none" || c == "on-failure"
	}
	restart, said := service["restart"]
	text, _ := restart.(string)
	return said && (restart == false || text == "no" || strings.HasPrefix(text, "on-failure"))
}

func ports(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, one := range list {
		m, ok := one.(map[string]any)
		if !ok {
			if text := fmt.Sprint(one); strings.Contains(text, ":") {
				out = append(out, text)
			}
			continue
		}
		if published := m["published"]; published != nil {
			text := fmt.Sprintf("%v:%v", published, m["target"])
			if ip, ok := m["host_ip"].(string); ok {
				text = ip + ":" + text
			}
			if protocol, ok := m["protocol"].(string); ok && protocol != "tcp" {
				text += "/" + protocol
			}
			out = append(out, text)
		}
	}
	return out
}
