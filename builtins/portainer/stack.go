package portainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/portainer"
	"phoenix-run/portainer/compose"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
	"phoenix-run/secret"
)

type stackArgs struct {
	Stack       starlark.Value `star:"stack" doc:"what config.stack gives"`
	Environment starlark.Value `star:"environment" doc:"what environment gives: where it runs"`
	Adopt       bool           `star:"adopt" default:"False" doc:"take over a stack of that name that was made by hand"`
}

var serverStack = builtin.Method(builtin.Spec{
	Name: "stack", Effect: builtin.Operation, Returns: "result",
	Summary: "A Docker stack, deployed with its variables and files. It is compared by what the compose file means, and deployed anew only where something differs or a container does not run. Where an update fails, what ran before is put back.",
	Errors: []string{
		"The compose file has a fault: file and line; nothing was touched.",
		"The deployment fails: the end of what compose says, and whether the old one runs again.",
	},
	Example: "api.stack(config.stack(\"qdrant_service\"), api.environment(vm))",
}, func(c *builtin.Call, v *Server, a stackArgs) (starlark.Value, error) {
	spec, ok := a.Stack.(*configmod.StackSpec)
	if !ok {
		return nil, fmt.Errorf("stack: stack: got %s, want what config.stack gives", a.Stack.Type())
	}
	name, err := environmentName(a.Environment)
	if err != nil {
		return nil, err
	}
	if err := portainer.CheckName(spec.Name); err != nil {
		return nil, err
	}
	for _, variable := range spec.Variables {
		if err := portainer.CheckVariable(variable.Name, variable.Value.Reveal()); err != nil {
			return nil, fmt.Errorf("stack %s: %w", spec.Name, err)
		}
	}
	o := &stackOp{v: v, c: c, spec: spec, environment: name, adopt: a.Adopt}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	return c.Do(o)
})

func environmentName(v starlark.Value) (string, error) {
	if obj, ok := v.(starlark.HasAttrs); ok {
		if attr, err := obj.Attr("name"); err == nil && attr != nil {
			if s, ok := starlark.AsString(attr); ok {
				return s, nil
			}
		}
	}
	return "", fmt.Errorf("stack: environment: got %s, want what api.environment gives", v.Type())
}

// stackOp brings a stack to its compose file, variables and files.
type stackOp struct {
	v           *Server
	c           *builtin.Call
	spec        *configmod.StackSpec
	environment string
	compose     string // with the files mounted
	services    []compose.Service
	adopt       bool
	commit      string // of the repository, once it was asked for
}

// prepare checks the compose file and mounts the files, before anything is touched.
func (o *stackOp) prepare() error {
	if o.spec.Git != nil {
		return nil
	}
	variables := map[string]string{}
	for _, v := range o.spec.Variables {
		variables[v.Name] = v.Value.Reveal()
	}
	project := portainer.NormalizeName(o.spec.Name)
	if err := compose.Check(o.spec.Compose, o.spec.ComposePath, project, variables); err != nil {
		return err
	}
	var err error
	if o.services, err = compose.Services(o.spec.Compose); err != nil {
		return fmt.Errorf("%s: %w", o.spec.ComposePath, err)
	}
	var mounts []compose.Mount
	for _, f := range o.spec.Files {
		sum := sha256.Sum256([]byte(f.Content.Reveal()))
		mounts = append(mounts, compose.Mount{Service: f.Service, Source: f.Path, Target: f.Target, Digest: hex.EncodeToString(sum[:8])})
	}
	if o.compose, err = compose.WithMounts(o.spec.Compose, mounts); err != nil {
		return fmt.Errorf("%s: %w", o.spec.ComposePath, err)
	}
	return nil
}

func (o *stackOp) name() string { return portainer.NormalizeName(o.spec.Name) }

func (o *stackOp) Address() op.Address {
	return op.Address{Host: o.environment, Kind: "stack", ID: o.spec.Name}
}

func (o *stackOp) key() op.Key { return key("stack", o.environment+" "+o.name()) }

func (o *stackOp) stacks(ctx context.Context) ([]portainer.Stack, error) {
	return op.Remember(ctx, o.c.Task.Run.View, key("stack", ""), func(ctx context.Context) ([]portainer.Stack, error) {
		client, err := o.v.client(o.c)
		if err != nil {
			return nil, err
		}
		return client.Stacks(ctx)
	})
}

// find gives the stack and the environment that it is in, if they are there.
func (o *stackOp) find(ctx context.Context) (*portainer.Stack, portainer.Environment, error) {
	env, _, ok, err := o.v.environment(ctx, o.c, o.environment)
	if err != nil || !ok {
		return nil, env, err
	}
	list, err := o.stacks(ctx)
	if err != nil {
		return nil, env, err
	}
	for _, s := range list {
		if s.Environment == env.ID && s.Name == o.name() {
			return &s, env, nil
		}
	}
	return nil, env, nil
}

func (o *stackOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	return v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		s, env, err := o.find(ctx)
		if err != nil || s == nil {
			return nil, err
		}
		client, err := o.v.client(o.c)
		if err != nil {
			return nil, err
		}
		a := op.Attrs{"variables": o.shownVariables(s.Env)}
		if s.Git != nil {
			a["git"] = gitText(s.Git.URL, s.Git.Reference, s.Git.Path)
			a["commit"] = s.Git.Commit
			if o.spec.Git != nil { // what the branch is at now is what is wanted
				if o.commit, err = portainer.RemoteCommit(ctx, o.source()); err != nil {
					return nil, err
				}
			}
		} else if a["compose"], err = client.StackFile(ctx, s.ID); err != nil {
			return nil, err
		} else if compose.Equal(fmt.Sprint(a["compose"]), o.compose) {
			a["compose"] = o.compose // another order or comment is no difference
		}
		containers, err := client.Containers(ctx, env.ID, o.name())
		if err != nil {
			return nil, err
		}
		a["state"] = state(*s, containers, o.services)
		return a, nil
	})
}

// state is "running", or what is wrong: a stack whose containers don't run is not as declared.
func state(s portainer.Stack, containers []portainer.Container, services []compose.Service) string {
	_, bad := portainer.Judge(containers, services...)
	switch {
	case s.State == portainer.Broken:
		return "failed: " + s.Message
	case s.State == portainer.Inactive:
		return "stopped"
	case bad != "":
		return bad
	}
	return "running"
}

// shownVariables gives variables by name, those that the configuration calls secret as secrets.
func (o *stackOp) shownVariables(list []portainer.Variable) map[string]any {
	secrets := map[string]bool{}
	plain := map[string]bool{}
	for _, v := range o.spec.Variables {
		secrets[v.Name], plain[v.Name] = v.Secret, !v.Secret
	}
	out := map[string]any{}
	for _, v := range list {
		if plain[v.Name] {
			out[v.Name] = v.Value
		} else {
			out[v.Name] = secret.New(v.Value)
		}
	}
	return out
}

func (o *stackOp) variables() []portainer.Variable {
	list := []portainer.Variable{}
	for _, v := range o.spec.Variables {
		list = append(list, portainer.Variable{Name: v.Name, Value: portainer.EncodeValue(v.Value.Reveal())})
	}
	return list
}

// source is the repository as the API wants it.
func (o *stackOp) source() portainer.GitSource {
	g := o.spec.Git
	return portainer.GitSource{URL: g.URL, Reference: g.Reference, Path: g.ComposeFilePath, User: g.Username, Password: o.spec.GitPassword.Reveal()}
}

func gitText(url, reference, path string) string {
	return strings.TrimSuffix(url, ".git") + " " + reference + " " + path
}

func (o *stackOp) Diff(current op.State) (op.Change, error) {
	want := op.Attrs{"variables": o.shownVariables(o.variables()), "state": "running"}
	if g := o.spec.Git; g != nil {
		want["git"] = gitText(g.URL, g.Reference, g.ComposeFilePath)
		if o.commit != "" {
			want["commit"] = o.commit
		}
	} else {
		want["compose"] = o.compose
	}
	return op.Compare(current, want), nil
}

func (o *stackOp) Predict(v *op.View, change op.Change) { v.Put(o.key(), change) }

func (o *stackOp) Apply(ctx context.Context, change op.Change) error {
	client, err := o.v.client(o.c)
	if err != nil {
		return err
	}
	old, env, err := o.find(ctx)
	if err != nil {
		return err
	}
	if env.ID == 0 {
		return fmt.Errorf("there is no environment %s in Portainer", o.environment)
	}
	s := portainer.Stack{Name: o.spec.Name, Environment: env.ID, Env: o.variables(), Adopt: o.adopt}
	if o.spec.Git != nil {
		source := o.source()
		s.Git = &source
	}
	o.c.Task.Begin(o.environment, o.Address().String(), "deploying")
	if change.Action == op.Create {
		return client.CreateStack(ctx, s, o.compose)
	}
	s.ID = old.ID
	oldCompose, err := client.StackFile(ctx, old.ID)
	if err != nil {
		return err
	}
	return client.UpdateStack(ctx, s, o.compose, *old, oldCompose)
}
