package proxmox

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (s *Server) taskRoutes(add addRoute) {
	add(get, "/nodes/{node}/tasks", nil, table{
		"errors": boolean(), "limit": integer().atLeast(0), "since": integer(), "source": oneOf("archive", "active", "all"),
		"start": integer().atLeast(0), "statusfilter": str(), "typefilter": str(), "until": integer(), "userfilter": str(),
		"vmid": vmidParam(),
	}, nodeTasks)
	add(get, "/nodes/{node}/tasks/{upid}/status", nil, nil, taskStatus)
	add(get, "/nodes/{node}/tasks/{upid}/log", nil, table{
		"download": boolean(), "limit": integer().atLeast(0), "start": integer().atLeast(0),
	}, taskLog)
	add(remove, "/nodes/{node}/tasks/{upid}", nil, nil, stopTask)
}

var upidText = regexp.MustCompile(`^UPID:([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s]+:[^:\s]*:[^:\s]+:$`)

// findTask finds the task of the path, which the caller has to own or may look at.
func findTask(c *call) (*task, error) {
	upid := c.params.get("upid")
	m := upidText.FindStringSubmatch(upid)
	if m == nil {
		return nil, badParam("upid", "unable to parse worker upid '%s'", upid)
	}
	s := c.server
	s.mu.Lock()
	t := s.tasks[upid]
	s.mu.Unlock()
	if t == nil || t.Node != c.node {
		return nil, badParam("upid", "no such task")
	}
	if t.User != c.user.String() && !strings.HasPrefix(t.User, c.user.user+"!") {
		if err := c.need("/nodes/"+c.node, "Sys.Audit"); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// base are the fields of a task that every view of it has.
func (t *task) base() map[string]any {
	row := map[string]any{
		"upid": t.UPID, "node": t.Node, "type": t.Type, "id": t.ID, "user": t.User,
		"pid": t.PID, "pstart": t.PStart, "starttime": t.Start,
	}
	if user, token, ok := strings.Cut(t.User, "!"); ok {
		row["user"], row["tokenid"] = user, token
	}
	return row
}

func taskStatus(c *call) (any, error) {
	t, err := findTask(c)
	if err != nil {
		return nil, err
	}
	row := t.base()
	row["status"] = "running"
	if exit, ended := t.ended(); ended {
		row["status"], row["exitstatus"] = "stopped", exit
	}
	return row, nil
}

// taskLog pages through a log: start counts from 0, the lines' own numbers from 1, limit 0 is all.
func taskLog(c *call) (any, error) {
	t, err := findTask(c)
	if err != nil {
		return nil, err
	}
	lines := t.lines()
	rows := []map[string]any{}
	if len(lines) == 0 {
		return append(rows, map[string]any{"n": 1, "t": "no content"}), nil
	}
	start, limit := c.params.number("start", 0), c.params.number("limit", 50)
	for i := start; i < len(lines) && (limit == 0 || i < start+limit); i++ {
		rows = append(rows, map[string]any{"n": i + 1, "t": lines[i]})
	}
	return rows, nil
}

func stopTask(c *call) (any, error) {
	t, err := findTask(c)
	if err != nil {
		return nil, err
	}
	if t.User != c.user.String() {
		if err := c.need("/nodes/"+c.node, "Sys.Modify"); err != nil {
			return nil, err
		}
	}
	if _, ended := t.ended(); !ended {
		c.changed.Store(true)
		t.cancel(errInterrupted)
	}
	return nil, nil
}

func (t *task) row() map[string]any {
	row := t.base()
	if exit, ended := t.ended(); ended {
		row["status"], row["endtime"] = exit, t.End
	} else {
		row["status"] = "RUNNING"
	}
	return row
}

// nodeTasks lists tasks, the newest first; "archive" is the ended ones.
func nodeTasks(c *call) (any, error) {
	p := c.params
	source, limit := p.get("source"), p.number("limit", 50)
	rows := []map[string]any{}
	skip := p.number("start", 0)
	for _, t := range c.server.tasksNewestFirst() {
		exit, ended := t.ended()
		ok := t.Node == c.node &&
			(t.User == c.user.String() || strings.HasPrefix(t.User, c.user.user+"!") || c.may("/nodes/"+c.node, "Sys.Audit")) &&
			(source == "all" || ended == (source != "active")) &&
			(!p.has("vmid") || t.ID == p.get("vmid")) &&
			(!p.has("typefilter") || t.Type == p.get("typefilter")) &&
			(!p.has("userfilter") || strings.Contains(t.User, p.get("userfilter"))) &&
			(!p.flag("errors") || ended && exit != "OK") &&
			(!p.has("since") || t.Start >= int64(p.number("since", 0))) &&
			(!p.has("until") || t.Start <= int64(p.number("until", 0))) &&
			(!p.has("statusfilter") || slices.Contains(splitList(p.get("statusfilter"), ""), exitKind(exit)))
		if !ok {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if limit > 0 && len(rows) == limit {
			break
		}
		rows = append(rows, t.row())
	}
	return rows, nil
}

// exitKind is an exit status as statusfilter names it.
func exitKind(exit string) string {
	switch {
	case exit == "OK":
		return "ok"
	case strings.HasPrefix(exit, "WARNINGS: "):
		return "warning"
	case exit == "unexpected status" || exit == "":
		return "unknown"
	}
	return "error"
}

func (s *Server) tasksNewestFirst() []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.order)
	slices.Reverse(all)
	return all
}

func clusterTasks(c *call) (any, error) {
	rows := []map[string]any{}
	for _, t := range c.server.tasksNewestFirst() {
		if len(rows) == 25 {
			break
		}
		if t.User == c.user.String() || c.may("/nodes/"+t.Node, "Sys.Audit") {
			rows = append(rows, t.row())
		}
	}
	return rows, nil
}

// upid is the answer of an endpoint that starts a task.
func upid(t *task, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return t.UPID, nil
}

func idText(id int) string { return strconv.Itoa(id) }
