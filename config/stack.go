package config

import (
	"maps"
	"slices"

	"phoenix-run/secret"
)

// DefaultEnvironment is the environment of a stack that is named alone.
const DefaultEnvironment = "production"

// stackFile is phoenix_stacks_config.json.
type stackFile struct {
	Schema string           `json:"$schema" doc:"Where an editor finds the JSON Schema of this file."`
	Stacks map[string]Stack `json:"docker_stacks" required:"true" doc:"The catalogue: the stacks by name."`
}

// Stack is one entry of the catalogue: a compose file beside the configuration, or one in a Git
// repository.
type Stack struct {
	Name            string                 `json:"name" read:"no"`
	Description     string                 `json:"description" doc:"What the stack is."`
	ComposeFilePath string                 `json:"compose_file_path" format:"path" doc:"The stack's compose file; a relative path starts at the configuration folder."`
	Git             *Git                   `json:"git" doc:"The Git repository that holds the stack's compose file, instead of compose_file_path."`
	Variables       []Variable             `json:"variables" doc:"Variables of every environment of the stack. An environment's variable of the same name replaces one."`
	Environments    map[string]Environment `json:"environments" doc:"The stack's environments by name. A stack that lists none has production alone."`
	Expect          []Expect               `json:"expect" doc:"What must answer on the VM once the stack is deployed."`
}

// Git is a compose file in a Git repository, that Portainer reads itself.
type Git struct {
	URL             string     `json:"url" required:"true" format:"url" doc:"The repository's address, https:// or http://."`
	Reference       string     `json:"reference" format:"git-reference" doc:"The branch or tag in full, such as refs/heads/main. Without it, the repository's default branch."`
	ComposeFilePath string     `json:"compose_file_path" default:"docker-compose.yml" format:"path" doc:"The compose file's path in the repository."`
	Username        string     `json:"username" doc:"The user to read the repository as."`
	Password        secret.Ref `json:"password" doc:"The password or token of that user."`
}

// Environment is what differs between a stack's environments.
type Environment struct {
	Variables []Variable `json:"variables" doc:"The variables that the compose file is given."`
	Files     []File     `json:"files" doc:"The files to put into the stack's containers."`
}

// Variable is one variable for a compose file.
type Variable struct {
	Name  string     `json:"name" required:"true" format:"variable" doc:"The variable's name."`
	Value secret.Ref `json:"value" required:"true" scalar:"true" doc:"The variable's value."`
	// Secret holds whether the value must never be shown: as the file says it, else true if the
	// value comes from the environment, a file or a command, or the name sounds like a secret's.
	Secret bool `json:"secret" doc:"Whether the value must never be shown. Where it is not said: true for a value from elsewhere, and for a name that ends like a secret's (PASS, PASSWORD, SECRET, TOKEN, API_KEY and such)."`
}

// Plain returns the value of a variable that may be shown and is known without reading anything.
func (v Variable) Plain() (text string, ok bool) {
	literal, ok := v.Value.Literal()
	if !ok || v.Secret {
		return "", false
	}
	return literal.Reveal(), true
}

// File is a file that a stack's container gets.
type File struct {
	Source      string `json:"source" required:"true" format:"path" doc:"The file; a relative path starts at the configuration folder."`
	Destination string `json:"destination_in_container" required:"true" format:"absolute-path" doc:"Where the container finds it."`
	Service     string `json:"service" format:"not-empty" doc:"The service that gets it. It may be left out where the compose file has only one."`
	Mode        string `json:"mode" format:"file-mode" doc:"The file's mode in octal, such as 0640."`
}

// Expect is a published port that must answer.
type Expect struct {
	Port   int    `json:"port" required:"true" min:"1" max:"65535" doc:"The port on the VM."`
	Path   string `json:"path" format:"absolute-path" doc:"The path to ask for by HTTP. Without it, a TCP connection is enough."`
	Status int    `json:"status" default:"200" min:"100" max:"599" doc:"The HTTP status that the answer must have."`
}

// Environment returns the stack's environment of that name, with the stack's own variables in it;
// false if there is none.
func (s Stack) Environment(name string) (Environment, bool) {
	env, ok := s.Environments[name]
	if !ok && (len(s.Environments) > 0 || name != DefaultEnvironment) {
		return Environment{}, false
	}
	var variables []Variable
	for _, v := range s.Variables {
		replaced := slices.ContainsFunc(env.Variables, func(o Variable) bool { return o.Name == v.Name })
		if !replaced {
			variables = append(variables, v)
		}
	}
	env.Variables = append(variables, env.Variables...)
	return env, true
}

// EnvironmentNames returns the names that Environment answers to, sorted.
func (s Stack) EnvironmentNames() []string {
	if len(s.Environments) == 0 {
		return []string{DefaultEnvironment}
	}
	return slices.Sorted(maps.Keys(s.Environments))
}
