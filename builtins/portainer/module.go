package portainer

import (
	"fmt"

	"go.starlark.net/starlark"

	configmod "phoenix-run/builtins/config"
	"phoenix-run/builtins/proxmox"
	"phoenix-run/runner/builtin"
	"phoenix-run/runner/value"
)

type none struct{}

type checkArgs struct {
	Stack starlark.Value `star:"stack" doc:"what config.stack gives"`
}

type serverArgs struct {
	VM starlark.Value `star:"vm" doc:"the machine that the server runs on"`
}

// Module makes the module portainer.
func (s *Session) Module() builtin.Module {
	return builtin.Module{
		Name: "portainer",
		Doc:  "Portainer: its server, the environments it works on, and their stacks.",
		Funcs: []*builtin.Builtin{
			builtin.Func(builtin.Spec{
				Name: "server", Effect: builtin.Reads, Returns: "portainer_server",
				Summary: "The server on a machine. It is reached when it is first needed; its own certificate is read over the verified connection to the machine, and pinned.",
				Errors:  []string{"portainer_api.password is not configured."},
				Example: "api = portainer.server(proxmox.find(1001))\napi.wait()",
			}, func(_ *builtin.Call, a serverArgs) (starlark.Value, error) {
				if err := value.Decided(a.VM); err != nil {
					return nil, err
				}
				vm, ok := a.VM.(*proxmox.VM)
				if !ok {
					return nil, fmt.Errorf("portainer.server: vm: got %s, want a machine from proxmox.vm or proxmox.find", a.VM.Type())
				}
				return &Server{s: s, vm: vm}, nil
			}),
			builtin.Func(builtin.Spec{
				Name: "check", Effect: builtin.Reads,
				Summary: "Checks a stack as far as that can be done before anything is touched: its compose file, the files to be mounted into it, its name and its variables. api.stack does the same; this is for looking at all of them first.",
				Errors:  []string{"The compose file has faults: file, line and column of each."},
				Example: "portainer.check(config.stack(\"qdrant_service\"))",
			}, func(c *builtin.Call, a checkArgs) (starlark.Value, error) {
				spec, ok := a.Stack.(*configmod.StackSpec)
				if !ok {
					return nil, fmt.Errorf("portainer.check: stack: got %s, want what config.stack gives", a.Stack.Type())
				}
				_, err := (&Server{s: s}).newStack(c, spec, "")
				return starlark.None, err
			}),
			builtin.Func(builtin.Spec{
				Name: "server_image", Effect: builtin.Pure, Returns: "string",
				Summary: "The server's image, in the version that the configuration names.",
				Example: "print(portainer.server_image())",
			}, func(*builtin.Call, none) (starlark.Value, error) {
				return starlark.String(s.options.Config.Hypervisor.Portainer.ServerImage), nil
			}),
			builtin.Func(builtin.Spec{
				Name: "agent_image", Effect: builtin.Pure, Returns: "string",
				Summary: "The agents' image, in the version that the configuration names.",
				Example: "print(portainer.agent_image())",
			}, func(*builtin.Call, none) (starlark.Value, error) {
				return starlark.String(s.options.Config.Hypervisor.Portainer.AgentImage), nil
			}),
			builtin.Func(builtin.Spec{
				Name: "agent_secret", Effect: builtin.Reads, Returns: "secret",
				Summary: "What server and agents share: portainer.agent_secret of the configuration, or else made of the administrator's password.",
				Example: "env = {\"AGENT_SECRET\": portainer.agent_secret()}",
			}, func(c *builtin.Call, _ none) (starlark.Value, error) {
				v, err := s.agentSecret(c.Context(), c.Task)
				return value.NewSecret(v), err
			}),
			builtin.Func(builtin.Spec{
				Name: "setup_token", Effect: builtin.Reads, Returns: "secret",
				Summary: "What the first administrator is made with, on servers from 2.43 on: made of the administrator's password.",
				Example: "env = {\"PORTAINER_SETUP_TOKEN\": portainer.setup_token()}",
			}, func(c *builtin.Call, _ none) (starlark.Value, error) {
				v, err := s.setupToken(c.Context(), c.Task)
				return value.NewSecret(v), err
			}),
		},
	}
}
