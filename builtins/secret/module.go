// Package secret lets playbooks and features take secrets from where they are kept.
package secret

import (
	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
	"phoenix-run/secret"
)

type nameArgs struct {
	Name string `star:"name" doc:"name of the environment variable"`
}

type pathArgs struct {
	Path string `star:"path" doc:"the file; a relative path starts at the configuration folder"`
}

type commandArgs struct {
	Argv []string `star:"argv" doc:"program and arguments; no shell is involved"`
}

// Module makes the module secret; dir is the configuration folder.
func Module(dir string) builtin.Module {
	resolve := func(c *builtin.Call, ref secret.Ref) (starlark.Value, error) {
		v, err := ref.Resolve(c.Context(), dir)
		if err != nil {
			return nil, err
		}
		c.Task.Run.Redactor().AddValue(v)
		return value.NewSecret(v), nil
	}
	const opaque = "secret: it can be passed on and joined with +; printing shows a placeholder"
	return builtin.Module{
		Name: "secret",
		Doc:  "Values that must never be shown, from where they are kept.",
		Funcs: []*builtin.Builtin{
			builtin.Func(builtin.Spec{Name: "env", Effect: builtin.Reads, Returns: opaque,
				Summary: "The value of an environment variable of phoenix-run.",
				Example: "host.file(\"/etc/app.env\", content = \"TOKEN=\" + secret.env(\"APP_TOKEN\") + \"\\n\", mode = \"0600\")",
				Errors:  []string{"The variable is not set, or empty."},
			}, func(c *builtin.Call, a nameArgs) (starlark.Value, error) { return resolve(c, secret.FromEnv(a.Name)) }),
			builtin.Func(builtin.Spec{Name: "file", Effect: builtin.Reads, Returns: opaque,
				Summary: "The content of a file on this machine, without the newline at its end.",
				Example: "host.file(\"/etc/app.key\", content = secret.file(\"secrets/app_key\"), mode = \"0600\")",
				Errors:  []string{"The file can't be read, or is larger than 1 MiB."},
			}, func(c *builtin.Call, a pathArgs) (starlark.Value, error) { return resolve(c, secret.FromFile(a.Path)) }),
			builtin.Func(builtin.Spec{Name: "command", Effect: builtin.Reads, Returns: opaque,
				Summary: "What a command on this machine prints, without the newline at its end: sops, age, pass, …. It runs in a dry run too.",
				Example: "host.file(\"/etc/app.key\", content = secret.command([\"printf\", \"abracadabra\"]), mode = \"0600\")",
				Errors:  []string{"The command fails."},
			}, func(c *builtin.Call, a commandArgs) (starlark.Value, error) {
				return resolve(c, secret.FromCommand(a.Argv...))
			}),
		},
	}
}
