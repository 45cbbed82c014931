package portainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	Adopt       bool           `star:"adopt" default:"False" doc:"take over a stack, or a compose project, of that name that was made by hand"`
}

var serverStack = builtin.Method(builtin.Spec{
	Name: "stack", Effect: builtin.Operation, Returns: "result",
	Summary: "A Docker stack, deployed with its variables and files. It is compared by what the compose file means, and deployed anew only where something differs or a container does not run. Where an update fails, what ran before is put back; where that was cut off, the next run does it.",
	Errors: []string{
		"The compose file has a fault: file and line; nothing was touched.",
		"A stack of that name was made by hand: adopt = True takes it over.",
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
	o, err := v.newStack(c, spec, name)
	if err != nil {
		return nil, err
	}
	o.adopt = a.Adopt
	return c.Do(o)
})

// newStack checks what is to be deployed, before anything is touched.
func (v *Server) newStack(c *builtin.Call, spec *configmod.StackSpec, environment string) (*stackOp, error) {
	if err := portainer.CheckName(spec.Name); err != nil {
		return nil, err
	}
	for _, variable := range spec.Variables {
		if err := portainer.CheckVariable(variable.Name, variable.Value.Reveal()); err != nil {
			return nil, fmt.Errorf("stack %s: %w", spec.Name, err)
		}
		if variable.Name == ownVariable {
			return nil, fmt.Errorf("stack %s: the variable %s marks the stacks that phoenix-run made; take another name", spec.Name, ownVariable)
		}
	}
	o := &stackOp{v: v, c: c, spec: spec, environment: environment}
	return o, o.prepare()
}

// ownVariable is a variable that phoenix-run gives to every stack that it deploys. It tells them from
// those made by hand, on all versions and for all kinds of stacks; its value says what is deployed.
const ownVariable = "PHOENIX_RUN_STACK"

// own reports whether phoenix-run made a stack.
func own(s portainer.Stack) bool {
	return slices.ContainsFunc(s.Env, func(v portainer.Variable) bool { return v.Name == ownVariable })
}

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
		if len(o.spec.Files) > 0 {
			return fmt.Errorf("stack %s: files can't be mounted into a compose file that the server takes from a Git repository; use compose_file_path, or keep the files in the repository", o.spec.Name)
		}
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

// IsLandmark has the recap name the stack.
func (o *stackOp) IsLandmark() {}

func (o *stackOp) Address() op.Address {
	return op.Address{Host: o.environment, Kind: "stack", ID: o.spec.Name}
}

func (o *stackOp) key() op.Key { return key("stack", o.environment+" "+o.name()) }

// stackList is where the list of all stacks is remembered until one changes.
var stackList = key("stack", "")

func (v *Server) stacks(ctx context.Context, c *builtin.Call) ([]portainer.Stack, error) {
	return op.Remember(ctx, c.Task.Run.View, stackList, func(ctx context.Context) ([]portainer.Stack, error) {
		client, err := v.client(c)
		if err != nil {
			return nil, err
		}
		return client.Stacks(ctx)
	})
}

// containersKey is where the containers of an environment are remembered, until a stack there changes.
func containersKey(environment, stack string) op.Key { return key("containers "+environment, stack) }

// allContainers lists the containers of all projects in an environment: one request for all its stacks.
func (v *Server) allContainers(ctx context.Context, c *builtin.Call, e portainer.Environment) ([]portainer.Container, error) {
	return op.Remember(ctx, c.Task.Run.View, containersKey(e.Name, ""), func(ctx context.Context) ([]portainer.Container, error) {
		client, err := v.client(c)
		if err != nil {
			return nil, err
		}
		return client.Containers(ctx, e.ID, "")
	})
}

// containers lists a project's containers.
func (v *Server) containers(ctx context.Context, c *builtin.Call, e portainer.Environment, project string) ([]portainer.Container, error) {
	all, err := v.allContainers(ctx, c, e)
	return slices.DeleteFunc(slices.Clone(all), func(one portainer.Container) bool { return one.Project != project }), err
}

// find gives the stack and the environment that it is in, if they are there. A deployment that is under
// way is waited for.
func (o *stackOp) find(ctx context.Context) (*portainer.Stack, portainer.Environment, error) {
	env, _, ok, err := o.v.environment(ctx, o.c, o.environment)
	if err != nil || !ok {
		return nil, env, err
	}
	list, err := o.v.stacks(ctx, o.c)
	if err != nil {
		return nil, env, err
	}
	for _, s := range list {
		if s.Environment != env.ID || s.Name != o.name() {
			continue
		}
		if s.State == portainer.Deploying {
			client, err := o.v.client(o.c)
			if err != nil {
				return nil, env, err
			}
			if s, err = client.Finished(ctx, s.ID); err != nil {
				return nil, env, err
			}
		}
		return &s, env, nil
	}
	return nil, env, nil
}

// running is the state that a stack is to have.
const running = "running"

func (o *stackOp) Read(ctx context.Context, v *op.View) (op.State, error) {
	var mended *op.Cause
	state, err := v.Read(ctx, o.key(), func(ctx context.Context) (op.Attrs, error) {
		s, env, err := o.find(ctx)
		if err != nil || s == nil {
			return nil, err
		}
		client, err := o.v.client(o.c)
		if err != nil {
			return nil, err
		}
		a := op.Attrs{"made by": "hand"}
		o.shownVariables(a, s.Env)
		if own(*s) {
			a["made by"] = madeBy
		}
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
		containers, err := o.v.containers(ctx, o.c, env, o.name())
		if err == nil {
			a["state"] = state(*s, containers, o.services)
			return a, nil
		}
		if mended = o.mends(v, err); mended == nil {
			return nil, fmt.Errorf("its containers can't be looked at: %w", err)
		}
		a["state"] = running
		if _, missing := v.IsMissing(o.environment); missing {
			a["state"] = "gone with the machine"
		}
		return a, nil
	})
	if err == nil && state.Maybe == nil {
		state.Maybe = mended
	}
	return state, err
}

// mends gives the planned step on the machine that most likely brings back an agent that can't be
// reached now: what runs there can only be looked at after it.
func (o *stackOp) mends(v *op.View, err error) *op.Cause {
	if !v.Planning() || !portainer.IsUnreachable(err) {
		return nil
	}
	if cause, missing := v.IsMissing(o.environment); missing {
		return &cause
	}
	return v.Touched(o.environment)
}

// madeBy is what tells phoenix-run's own stacks from those made by hand.
const madeBy = "phoenix-run"

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
	return running
}

// variableAttr is the attribute of a variable: each has its own, so that a plan tells them by name.
func variableAttr(name string) string { return "variable " + name }

// shownVariables puts variables into attributes, those as secrets that the configuration does not call
// plain. Its own mark is none of them.
func (o *stackOp) shownVariables(a op.Attrs, list []portainer.Variable) {
	plain := map[string]bool{}
	for _, v := range o.spec.Variables {
		plain[v.Name] = !v.Secret
	}
	for _, v := range list {
		switch {
		case v.Name == ownVariable:
		case plain[v.Name]:
			a[variableAttr(v.Name)] = v.Value
		default:
			a[variableAttr(v.Name)] = secret.New(v.Value)
		}
	}
}

func (o *stackOp) variables() []portainer.Variable {
	list := []portainer.Variable{}
	for _, v := range o.spec.Variables {
		list = append(list, portainer.Variable{Name: v.Name, Value: portainer.EncodeValue(v.Value.Reveal())})
	}
	return append(list, portainer.Variable{Name: ownVariable, Value: portainer.EncodeValue(o.spec.Name + "/" + o.spec.Environment)})
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
	want := op.Attrs{"state": running, "made by": madeBy}
	o.shownVariables(want, o.variables())
	if g := o.spec.Git; g != nil {
		want["git"] = gitText(g.URL, g.Reference, g.ComposeFilePath)
		if o.commit != "" {
			want["commit"] = o.commit
		}
	} else {
		want["compose"] = o.compose
	}
	if current.Exists() && current.Attrs["made by"] != madeBy && !o.adopt {
		return op.Change{}, fmt.Errorf("%s has a stack %s that was made by hand, not by phoenix-run; --adopt (stack(adopt = True)) takes it over, or rename one of the two", o.environment, o.name())
	}
	change := op.Compare(current, want)
	for name := range current.Attrs { // variables that are not wanted any more
		if _, wanted := want[name]; wanted || !strings.HasPrefix(name, variableAttr("")) {
			continue
		}
		if change.Action == op.None {
			change.Action, change.After = op.Update, maps.Clone(change.After)
		}
		delete(change.After, name)
	}
	return change, nil
}

// Verify adds to what is as predicted that no variable is left over.
func (o *stackOp) Verify(change op.Change, actual op.State) []string {
	bad := op.Incompatible(change.After, actual.Attrs)
	for name := range actual.Attrs {
		if _, wanted := change.After[name]; !wanted && strings.HasPrefix(name, variableAttr("")) {
			bad = append(bad, name)
		}
	}
	return bad
}

func (o *stackOp) Predict(v *op.View, change op.Change) {
	v.Put(o.key(), change)
	v.Put(containersKey(o.environment, o.name()), change)
}

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
	keep := o.keeper()
	if change.Action == op.Create {
		if err := client.CreateStack(ctx, s, o.compose); err != nil {
			return err
		}
		return keep.tidy(ctx)
	}
	s.ID = old.ID
	back, err := keep.lastWorking(ctx, client, *old)
	if err != nil {
		return err
	}
	err = client.UpdateOver(ctx, s, o.compose, *old, back)
	var failed *portainer.DeployError
	switch {
	case err == nil:
		return keep.tidy(ctx)
	case errors.As(err, &failed) && failed.Restored:
		return errors.Join(err, keep.forget(ctx))
	}
	return err
}
