package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// qmp runs one command of QEMU's own monitor.
func qmp(ctx context.Context, socket, command string, arguments map[string]any) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be written
	stop := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // the connection ends either way
	})
	defer stop()
	in := bufio.NewReader(conn)
	if _, err := in.ReadBytes('\n'); err != nil { // its greeting
		return err
	}
	for _, step := range []map[string]any{{"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}} {
		if step["arguments"] == nil || len(arguments) == 0 {
			delete(step, "arguments")
		}
		text, err := json.Marshal(step)
		if err != nil {
			return err
		}
		if _, err := conn.Write(append(text, '\n')); err != nil {
			return err
		}
		if err := answer(in, command); err != nil {
			return err
		}
	}
	return nil
}

// answer waits for a command's end; events come between.
func answer(in *bufio.Reader, command string) error {
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("QEMU did not answer %s: %w", command, err)
		}
		var reply struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(line, &reply); err != nil {
			return err
		}
		switch {
		case reply.Error != nil:
			return fmt.Errorf("QEMU's %s: %s", command, reply.Error.Desc)
		case reply.Return != nil:
			return nil
		}
	}
}
