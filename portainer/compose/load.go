package compose

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// File is a compose file that was checked.
type File struct {
	Services  []Service  // in the order of the file
	Variables []Variable // that it uses, by name
}

// Check refuses a compose file that could not be deployed, as Faults. name is the file's, for messages,
// project the project's, and variables what it is deployed with; faults don't tell their values.
func Check(text, name, project string, variables map[string]string) error {
	_, err := Load(text, name, project, variables)
	return err
}

// Load checks a compose file as Check does, and tells what it holds.
func Load(text, name, project string, variables map[string]string) (*File, error) {
	doc, values, err := parse(text)
	if err != nil {
		return nil, yamlFaults(err, name, text)
	}
	faults, err := schemaFaults(doc, values, name)
	if err != nil {
		return nil, err
	}
	if faults = append(faults, alone(doc, values, name)...); len(faults) > 0 {
		return nil, faults.sorted()
	}
	if err := substituted(values, project, variables); err != nil {
		var faults Faults // the library joins several, one a line
		for line := range strings.Lines(err.Error()) {
			faults = append(faults, placed(doc, name, hide(strings.TrimSpace(line), variables)))
		}
		return nil, faults.sorted()
	}
	services, err := Services(text)
	if err != nil {
		return nil, err
	}
	used, err := Variables(text)
	if err != nil {
		return nil, err
	}
	return &File{services, used}, nil
}

// substituted checks the file with its variables filled in, as compose itself does it.
func substituted(values map[string]any, project string, variables map[string]string) error {
	delete(values, "version") // it has no meaning any more, and the library would print a warning
	_, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Config: values}},
		Environment: maps.Clone(variables),
	}, func(o *loader.Options) {
		o.SetProjectName(project, true)
		o.SkipInclude, o.SkipResolveEnvironment, o.SkipResolveLabels = true, true, true
		o.Interpolate.Substitute = func(text string, mapping template.Mapping) (string, error) {
			return template.SubstituteWithOptions(text, mapping, template.WithoutLogging)
		}
	})
	return err
}

// hide puts the names of variables where a message shows their values.
func hide(message string, variables map[string]string) string {
	names := slices.SortedFunc(maps.Keys(variables), func(a, b string) int {
		return cmp.Or(len(variables[b])-len(variables[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		if v := variables[name]; len(v) >= 4 {
			message = strings.ReplaceAll(message, v, "${"+name+"}")
		}
	}
	return message
}

// alone finds what a file needs beside itself: the server gets this file and no other.
func alone(doc *yaml.Node, values map[string]any, file string) Faults {
	var faults Faults
	if _, ok := values["include"]; ok {
		faults = append(faults, at(doc, file, []string{"include"}, "include: the server gets this file alone; write what is included into it, or deploy from a Git repository"))
	}
	services, _ := values["services"].(map[string]any)
	for name, v := range services {
		service, _ := v.(map[string]any)
		path := []string{"services", name}
		if extends, _ := service["extends"].(map[string]any); extends["file"] != nil {
			faults = append(faults, at(doc, file, append(path, "extends"), "extends: the server gets this file alone, so a service of another file can't be extended"))
		}
		if build, ok := service["build"]; ok && service["image"] == nil && !remoteContext(build) {
			faults = append(faults, at(doc, file, append(path, "build"), "build: the server gets this file alone and has no folder to build from; give an image"))
		}
		for _, one := range envFiles(service["env_file"]) {
			// Portainer writes the stack's variables into stack.env, next to the file.
			if one != "stack.env" && one != "./stack.env" {
				faults = append(faults, at(doc, file, append(path, "env_file"), "env_file: the server gets this file alone and has no %s; name its variables in the stack, which are in stack.env", one))
			}
		}
	}
	return faults
}

func remoteContext(build any) bool {
	if m, ok := build.(map[string]any); ok {
		if m["dockerfile_inline"] != nil {
			return true
		}
		build = m["context"]
	}
	text, _ := build.(string)
	return strings.Contains(text, "://") || strings.HasPrefix(text, "git@") || strings.Contains(text, "${")
}

// envFiles gives the files that a service can't do without.
func envFiles(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case map[string]any:
		path, _ := v["path"].(string)
		if required, ok := v["required"].(bool); path != "" && (!ok || required) {
			return []string{path}
		}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, envFiles(one)...)
		}
		return all
	}
	return nil
}
