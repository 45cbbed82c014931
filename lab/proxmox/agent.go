package proxmox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"phoenix-run/lab/machine"
)

// agentState keeps the calls to one guest's agent apart: its socket takes one connection.
type agentState struct{ turn chan struct{} }

func (s *Server) agentRoutes(add addRoute) {
	vm := "/nodes/{node}/qemu/{vmid}/agent"
	f := s.flavor
	audit := f.agentPrivilege("VM.GuestAgent.Audit")
	all := f.agentPrivilege("VM.GuestAgent.Unrestricted")
	for name, do := range agentCommands {
		add(get, vm+"/"+name, audit, nil, agentCommand(do))
	}
	add(post, vm+"/ping", audit, nil, agentCommand(agentPing))
	add(post, vm, all, table{"command": oneOf("fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo",
		"get-host-name", "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users",
		"get-vcpus", "info", "network-get-interfaces", "ping", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram").req()}, namedAgentCommand)
	add(post, vm+"/exec", all, table{"command": array().req(), "input-data": str().chars(65536)}, agentExec)
	add(get, vm+"/exec-status", all, table{"pid": integer().req()}, agentExecStatus)
	read := table{"file": str().req()}
	if f.nine() {
		read["offset"] = integer().atLeast(0)
		read["count"] = integer().atLeast(1).atMost(agentReadLimit)
		read["decode"] = boolean()
	}
	add(get, vm+"/file-read", f.agentPrivilege("VM.GuestAgent.FileRead"), read, agentFileRead)
	add(post, vm+"/file-write", f.agentPrivilege("VM.GuestAgent.FileWrite"), table{
		"content": str().chars(61440).req(), "file": str().req(), "encode": boolean(),
	}, agentFileWrite)
}

// agentReadLimit is how much of a file one request gives.
const agentReadLimit = 16 << 20

type agentFunc func(ctx context.Context, a machine.Agent) (any, error)

// agentCommands answer with {"result": …}.
var agentCommands = map[string]agentFunc{
	"network-get-interfaces": agentInterfaces,
	"get-osinfo": func(ctx context.Context, a machine.Agent) (any, error) {
		return a.OSInfo(ctx)
	},
	"get-host-name": func(ctx context.Context, a machine.Agent) (any, error) {
		name, err := a.HostName(ctx)
		return map[string]any{"host-name": name}, err
	},
	"info":     agentInfo,
	"get-time": func(context.Context, machine.Agent) (any, error) { return time.Now().UnixNano(), nil },
}

func agentPing(ctx context.Context, a machine.Agent) (any, error) {
	return map[string]any{}, a.Ping(ctx)
}

// agentInfo lists what this agent can be asked.
func agentInfo(context.Context, machine.Agent) (any, error) {
	commands := []map[string]any{}
	for _, name := range []string{
		"guest-ping", "guest-info", "guest-exec", "guest-exec-status", "guest-file-open", "guest-file-read", "guest-file-write",
		"guest-file-close", "guest-get-osinfo", "guest-get-host-name", "guest-network-get-interfaces", "guest-get-time", "guest-shutdown",
	} {
		commands = append(commands, map[string]any{"name": name, "enabled": true, "success-response": true})
	}
	return map[string]any{"version": "8.2.2", "supported_commands": commands}, nil
}

func agentInterfaces(ctx context.Context, a machine.Agent) (any, error) {
	all, err := a.Interfaces(ctx)
	rows := []map[string]any{}
	for _, i := range all {
		row := map[string]any{"name": i.Name, "statistics": map[string]int{
			"rx-bytes": 0, "rx-packets": 0, "rx-errs": 0, "rx-dropped": 0, "tx-bytes": 0, "tx-packets": 0, "tx-errs": 0, "tx-dropped": 0,
		}}
		if i.MAC != "" {
			row["hardware-address"] = strings.ToLower(i.MAC)
		}
		var addresses []map[string]any
		for _, ad := range i.Addresses {
			addresses = append(addresses, map[string]any{"ip-address": ad.IP, "ip-address-type": ad.Type, "prefix": ad.Prefix})
		}
		if addresses != nil { // an interface without any has no such key
			row["ip-addresses"] = addresses
		}
		rows = append(rows, row)
	}
	return rows, err
}

// withAgent runs fn with the guest's agent, after Proxmox's checks: the option is on, the machine runs,
// the agent answers a ping within 3 s.
func (c *call) withAgent(command string, fn agentFunc) (any, error) {
	s := c.server
	g, err := c.guest()
	if err != nil {
		return nil, err
	}
	if !agentOn(g.Config) {
		return nil, die("No QEMU guest agent configured")
	}
	if !g.Running {
		return nil, fmt.Errorf("VM %d is not running", g.ID)
	}
	notRunning := errors.New("QEMU guest agent is not running")
	ctx, cancel := context.WithTimeout(c.ctx, s.speed.AgentPing)
	defer cancel()
	done, err := s.agentTurn(ctx, g.ID)
	if err != nil {
		return nil, notRunning
	}
	defer done()
	m := s.machine(g.ID)
	if m == nil || c.fault.AgentGone {
		return nil, notRunning
	}
	agent := answering(ctx, m)
	if agent == nil {
		return nil, notRunning
	}
	ctx, cancel = context.WithTimeout(c.ctx, s.speed.AgentReply)
	defer cancel()
	out, err := fn(ctx, agent)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("VM %d %s command '%s' failed - got timeout", g.ID, s.flavor.qgaWord, command)
	}
	return out, err
}

// agentTurn waits until no other call uses the agent.
func (s *Server) agentTurn(ctx context.Context, id int) (done func(), err error) {
	s.mu.Lock()
	a := s.agents[id]
	if a == nil {
		a = &agentState{turn: make(chan struct{}, 1)}
		s.agents[id] = a
	}
	s.mu.Unlock()
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// agentCommand answers a simple command. The agent's own errors come as a result, with status 200.
func agentCommand(fn agentFunc) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		name := c.path[strings.LastIndex(c.path, "/")+1:]
		out, err := c.withAgent("guest-"+name, fn)
		var fault *machine.ErrAgent
		if errors.As(err, &fault) {
			return map[string]any{"result": map[string]any{"error": map[string]any{"class": fault.Class, "desc": fault.Desc}}}, nil
		}
		if err != nil {
			return nil, err
		}
		return map[string]any{"result": out}, nil
	}
}

func namedAgentCommand(c *call) (any, error) {
	name := c.params.get("command")
	do := agentCommands[name]
	if name == "ping" {
		do = agentPing
	}
	if do == nil {
		do = func(context.Context, machine.Agent) (any, error) {
			return nil, &machine.ErrAgent{Class: "CommandNotFound", Desc: "The command guest-" + name + " has not been found"}
		}
	}
	return agentCommand(do)(c)
}

// answering waits for the agent to answer a ping; nil if it does not before ctx ends.
func answering(ctx context.Context, m machine.Machine) machine.Agent {
	for {
		if a := m.Agent(); a != nil && m.Power() == machine.Running && a.Ping(ctx) == nil {
			return a
		}
		if sleep(ctx, 10*time.Millisecond) != nil {
			return nil
		}
	}
}
