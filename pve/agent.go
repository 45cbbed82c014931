package pve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Limits of the agent's calls (Proxmox's own, see docs/proxmox.md).
const (
	maxInput = 65_536   // bytes of input-data
	maxWrite = 46_080   // bytes of one file-write: 61,440 characters of base64
	maxRead  = 16 << 20 // bytes of one file-read, and of each output stream
)

// Agent works inside a machine through its QEMU guest agent. Calls to one machine wait for each
// other, since the agent's socket takes one connection at a time.
type Agent struct {
	client *Client
	node   string
	id     int
}

// Agent gives the guest agent of a machine.
func (c *Client) Agent(node string, id int) *Agent { return &Agent{c, node, id} }

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr []byte
	Code           int
	Truncated      bool
}

// ErrResultLost says that a command ran, but the one report of its end did not arrive.
var ErrResultLost = errors.New("the command has run, but its result was lost: the agent tells it only once")

func (a *Agent) path(call string) string { return vmPath(a.node, a.id) + "/agent/" + call }

func (a *Agent) lock(ctx context.Context) (func(), error) {
	return a.client.agents.lock(ctx, fmt.Sprint(a.id))
}

// Ping reports whether the agent answers.
func (a *Agent) Ping(ctx context.Context) error {
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return a.client.post(declaredRead(ctx), a.path("ping"), nil, nil)
}

// Exec runs a program as root and waits for its end. readOnly declares that it changes nothing, so
// that a client that only plans may run it.
func (a *Agent) Exec(ctx context.Context, argv []string, input []byte, readOnly bool) (Result, error) {
	if len(input) > maxInput {
		return Result{}, fmt.Errorf("the agent takes at most %d bytes of input, not %d", maxInput, len(input))
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if readOnly {
		ctx = declaredRead(ctx)
	}
	params := map[string]any{"command": argv}
	if len(input) > 0 {
		params["input-data"] = latin1(input)
	}
	deadline := time.Now().Add(agentPatience)
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 2*time.Second) {
		r, err := a.exec(ctx, params)
		if err == nil || !again(err, readOnly) || time.Now().After(deadline) {
			return r, err
		}
		if sleepErr := sleep(ctx, jitter(pause)); sleepErr != nil {
			return Result{}, errors.Join(err, sleepErr)
		}
	}
}

// agentPatience is how long an agent that does not answer is asked again within one call.
const agentPatience = 30 * time.Second

// again reports whether a command may be sent once more: one that only reads in any case, another only
// if it certainly was not begun.
func again(err error, readOnly bool) bool {
	if readOnly && (errors.Is(err, ErrMaybeDone) || errors.Is(err, ErrResultLost) || has(err, "got timeout")) {
		return true
	}
	return has(err, "QEMU guest agent is not running", "qga socket") || isTransient(err) && !has(err, "got timeout")
}

// exec starts a program and waits for its end.
func (a *Agent) exec(ctx context.Context, params map[string]any) (Result, error) {
	var started struct {
		PID number `json:"pid"`
	}
	if err := a.client.post(ctx, a.path("exec"), params, &started); err != nil {
		return Result{}, fmt.Errorf("guest agent of VM %d: %w", a.id, err)
	}
	return a.finish(ctx, int(started.PID))
}

// finishPatience is how long the agent may be silent while a command runs: it may be under load, or
// restart, or the machine may reboot, which ends the command.
const finishPatience = 2 * time.Minute

// finish polls for the end of a command, often at first: most take milliseconds.
func (a *Agent) finish(ctx context.Context, pid int) (Result, error) {
	query := url.Values{"pid": {fmt.Sprint(pid)}}
	answered := time.Now()
	for pause := 3 * time.Millisecond; ; pause = min(pause*2, 300*time.Millisecond) {
		var s struct {
			Exited       number `json:"exited"`
			Code         number `json:"exitcode"`
			Signal       number `json:"signal"`
			Stdout       string `json:"out-data"`
			Stderr       string `json:"err-data"`
			OutTruncated number `json:"out-truncated"`
			ErrTruncated number `json:"err-truncated"`
		}
		err := a.client.getOnce(ctx, a.path("exec-status"), query, &s)
		switch {
		case has(err, "Invalid parameter 'pid'"):
			return Result{}, fmt.Errorf("guest agent of VM %d: %w", a.id, ErrResultLost)
		case err != nil && (isTransient(err) || IsAgentNotReady(err)) && time.Since(answered) < finishPatience:
			// the command goes on in the guest: ask again
		case err != nil:
			return Result{}, fmt.Errorf("guest agent of VM %d: %w", a.id, err)
		case s.Exited != 0:
			r := Result{Stdout: bytesOf(s.Stdout), Stderr: bytesOf(s.Stderr), Code: int(s.Code),
				Truncated: s.OutTruncated != 0 || s.ErrTruncated != 0}
			if s.Signal != 0 {
				r.Code = 128 + int(s.Signal)
			}
			return r, nil
		default:
			answered = time.Now()
		}
		if err := sleep(ctx, pause); err != nil {
			return Result{}, fmt.Errorf("guest agent of VM %d: process %d is still running: %w", a.id, pid, err)
		}
	}
}

// WriteFile writes a file of at most 46,080 bytes, cutting off what was there.
func (a *Agent) WriteFile(ctx context.Context, path string, content []byte) error {
	if len(content) > maxWrite {
		return fmt.Errorf("the agent writes at most %d bytes at once, not %d", maxWrite, len(content))
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	params := map[string]any{"file": path, "content": base64.StdEncoding.EncodeToString(content), "encode": 0}
	deadline := time.Now().Add(agentPatience)
	for pause := 50 * time.Millisecond; ; pause = min(pause*2, 2*time.Second) {
		err := a.client.post(ctx, a.path("file-write"), params, nil)
		switch {
		case err == nil:
			return nil
		case !again(err, true) || time.Now().After(deadline): // the whole file again: it is the same then
			return fmt.Errorf("guest agent of VM %d: %s: %w", a.id, path, err)
		}
		if sleepErr := sleep(ctx, jitter(pause)); sleepErr != nil {
			return fmt.Errorf("guest agent of VM %d: %s: %w", a.id, path, errors.Join(err, sleepErr))
		}
	}
}

// ReadFile reads at most 16 MiB of a file, and says whether there was more.
func (a *Agent) ReadFile(ctx context.Context, path string) ([]byte, bool, error) {
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	var answer struct {
		Content   string `json:"content"`
		Truncated number `json:"truncated"`
	}
	if err := a.client.get(ctx, a.path("file-read"), url.Values{"file": {path}}, &answer); err != nil {
		return nil, false, fmt.Errorf("guest agent of VM %d: %s: %w", a.id, path, err)
	}
	return bytesOf(answer.Content), answer.Truncated != 0, nil
}

// Interface is a network card as the guest sees it.
type Interface struct {
	Name      string
	MAC       string
	Addresses []Address
}

// Address is one address of an interface.
type Address struct {
	IP     string `json:"ip-address"`
	Type   string `json:"ip-address-type"`
	Prefix int    `json:"prefix"`
}

// Interfaces lists the guest's network cards.
func (a *Agent) Interfaces(ctx context.Context) ([]Interface, error) {
	return a.interfaces(ctx, a.client.get)
}

func (a *Agent) interfaces(ctx context.Context, get func(context.Context, string, url.Values, any) error) ([]Interface, error) {
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	if err := get(ctx, a.path("network-get-interfaces"), nil, &answer); err != nil {
		return nil, fmt.Errorf("guest agent of VM %d: %w", a.id, err)
	}
	var rows []struct {
		Name      string    `json:"name"`
		MAC       string    `json:"hardware-address"`
		Addresses []Address `json:"ip-addresses"`
	}
	if err := json.Unmarshal(answer.Result, &rows); err != nil {
		// The agent's own refusals come as results.
		return nil, fmt.Errorf("guest agent of VM %d: network-get-interfaces: %w: %s", a.id, errNoInterfaces, answer.Result)
	}
	list := make([]Interface, len(rows))
	for i, r := range rows {
		list[i] = Interface{r.Name, r.MAC, r.Addresses}
	}
	return list, nil
}

// errNoInterfaces marks an agent that answers, but not with interfaces.
var errNoInterfaces = errors.New("the agent does not tell its interfaces")

// WaitReady waits until the agent answers, and gives the guest's network cards, nil if it does not
// tell them. progress is told what the machine does meanwhile. It does not wait for a machine that is off.
func (a *Agent) WaitReady(ctx context.Context, progress Progress) ([]Interface, error) {
	told := ""
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, 2*time.Second) {
		found, err := a.interfaces(ctx, a.client.getOnce)
		switch {
		case err == nil, errors.Is(err, errNoInterfaces):
			return found, nil
		case ctx.Err() != nil:
			return nil, a.silent(ctx)
		case !IsAgentNotReady(err) && !isTransient(err) && !errors.Is(err, ErrMaybeDone):
			return nil, err
		}
		status, statusErr := a.client.Status(ctx, a.node, a.id)
		switch {
		case ctx.Err() != nil:
			return nil, a.silent(ctx)
		case statusErr != nil:
			return nil, statusErr
		case status.Status == "stopped" && status.Lock == "":
			return nil, fmt.Errorf("VM %d is stopped, so its guest agent can't answer: it was stopped, or has powered off, while it was waited for", a.id)
		}
		if text := status.String() + ": " + err.Error(); progress != nil && text != told {
			told = text
			progress(text)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, a.silent(ctx)
		}
	}
}

// silent is the error of an agent that has not answered in time, with what the machine did at the end.
func (a *Agent) silent(ctx context.Context) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	doing := "what it does can't be read"
	if status, err := a.client.Status(late, a.node, a.id); err == nil {
		doing = "it is " + status.String()
	}
	return fmt.Errorf("the guest agent of VM %d does not answer (%s); is qemu-guest-agent installed and running in it? %w", a.id, doing, context.Cause(ctx))
}

// latin1 makes a text whose characters are the bytes: Proxmox makes one byte of each character.
func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// bytesOf is the inverse: Proxmox gives each byte of an output as one character.
func bytesOf(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xFF {
			out = append(out, string(r)...) // a newer Proxmox that decodes UTF-8 itself
			continue
		}
		out = append(out, byte(r))
	}
	return out
}
