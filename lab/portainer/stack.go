package portainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Status of a stack. Deploying and Failed are known from 2.41 on.
const (
	statusActive    = 1
	statusInactive  = 2
	statusDeploying = 3
	statusFailed    = 4
)

// stack is a stack with its files, which the real server has in its data folder.
type stack struct {
	ID             int
	Name           string
	EndpointID     int
	EntryPoint     string
	Env            []pair
	Status         int
	Deployment     []deployment
	CreationDate   int64
	CreatedBy      string
	UpdateDate     int64
	UpdatedBy      string
	Additional     []string
	AutoUpdate     *autoUpdate
	Git            *gitConfig
	Prune          bool
	Files          map[string][]byte // by path in the project's folder
	SettingsEdited bool              // git settings have changed since the last deploy
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type deployment struct {
	Status  int    `json:"Status"`
	Time    int64  `json:"Time"`
	Message string `json:"Message,omitempty"`
}

type autoUpdate struct {
	Interval       string `json:"Interval"`
	Webhook        string `json:"Webhook"`
	JobID          string `json:"JobID"`
	ForceUpdate    bool   `json:"ForceUpdate"`
	ForcePullImage bool   `json:"ForcePullImage"`
}

func (st stack) clone() stack {
	st.Files = maps.Clone(st.Files)
	if st.Git != nil {
		g := *st.Git
		if g.Authentication != nil {
			a := *g.Authentication
			g.Authentication = &a
		}
		st.Git = &g
	}
	return st
}

// dir is the project's folder in the server's container.
func (st stack) dir() string { return fmt.Sprintf("/data/compose/%d", st.ID) }

// project is the name of the compose project. A stack without a name gets its number.
func (st stack) project() string {
	if st.Name == "" {
		return strconv.Itoa(st.ID)
	}
	return st.Name
}

var notInNames = regexp.MustCompile(`[^-_a-z0-9]+`)

// Normalize is what Portainer makes of a stack's name.
func Normalize(name string) string {
	return notInNames.ReplaceAllString(strings.ToLower(name), "")
}

// shownStack is a stack as the API shows it in this version.
func (s *Server) shownStack(st stack) map[string]any {
	m := map[string]any{
		"Id": st.ID, "Name": st.Name, "Type": 2, "EndpointId": st.EndpointID, "SwarmId": "", "EntryPoint": st.EntryPoint,
		"Env": orEmpty(st.Env), "Status": st.Status, "ProjectPath": st.dir(), "CreationDate": st.CreationDate, "CreatedBy": st.CreatedBy,
		"UpdateDate": st.UpdateDate, "UpdatedBy": st.UpdatedBy, "AdditionalFiles": st.Additional, "AutoUpdate": st.AutoUpdate,
		"Option": nil, "GitConfig": nil, "FromAppTemplate": false, "Namespace": "", "ResourceControl": nil,
	}
	if st.Prune {
		m["Option"] = map[string]bool{"Prune": true}
	}
	if st.Git != nil {
		g := st.clone().Git
		if g.Authentication != nil {
			g.Authentication.Password = ""
		}
		m["GitConfig"] = g
	}
	if s.is.Async {
		m["DeploymentStatus"] = orEmpty(st.Deployment)
	}
	return m
}

func (s *Server) listStacks(c *call) (int, any, error) {
	var f struct {
		EndpointID            int
		SwarmID               string
		IncludeOrphanedStacks bool
	}
	if v := c.URL.Query().Get("filters"); v != "" {
		if err := json.Unmarshal([]byte(v), &f); err != nil {
			return 0, nil, fail(http.StatusBadRequest, "Invalid query parameter: filters", err)
		}
	}
	out := []map[string]any{}
	s.view(func(db *database) {
		for _, st := range db.Stacks {
			orphan := db.endpoint(st.EndpointID) == nil
			switch {
			case f.SwarmID != "":
			case f.EndpointID != 0 && st.EndpointID != f.EndpointID && !(orphan && f.IncludeOrphanedStacks):
			case orphan && !f.IncludeOrphanedStacks:
			default:
				out = append(out, s.shownStack(st))
			}
		}
	})
	return http.StatusOK, out, nil
}

// stackOf returns a copy of the stack in the path.
func (s *Server) stackOf(c *call) (stack, error) {
	id, err := c.id()
	if err != nil {
		return stack{}, err
	}
	return s.stackByID(id)
}

func (s *Server) stackByID(id int) (st stack, err error) {
	s.view(func(db *database) {
		if found := db.stack(id); found != nil {
			st = found.clone()
		}
	})
	if st.ID == 0 {
		return st, notFound("a stack", "stacks", id)
	}
	return st, nil
}

func (s *Server) getStack(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.shownStack(st), nil
}

func (s *Server) getStackFile(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	if st.SettingsEdited && s.is.FileConflict {
		return 0, nil, fail(http.StatusConflict, "Stack git settings have changed. Redeploy the stack to see its file", errors.New("stack git settings have changed. Redeploy the stack to see its file"))
	}
	return http.StatusOK, map[string]string{"StackFileContent": string(st.Files[st.EntryPoint])}, nil
}

func (s *Server) deleteStack(c *call) (int, any, error) {
	st, err := s.stackOf(c)
	if err != nil {
		return 0, nil, err
	}
	id, err := strconv.Atoi(c.URL.Query().Get("endpointId"))
	if err != nil {
		id = 0
	}
	e, err := s.endpointByID(id)
	orphan := false
	s.view(func(db *database) { orphan = db.endpoint(st.EndpointID) == nil })
	if err != nil && !orphan {
		return 0, nil, err
	}
	if err == nil {
		if err := s.takeDown(c.Context(), e, st); err != nil {
			return 0, nil, fail(http.StatusInternalServerError, err.Error(), err)
		}
	}
	c.changed = true
	return http.StatusNoContent, nil, s.update(func(db *database) error {
		for i := range db.Stacks {
			if db.Stacks[i].ID == st.ID {
				db.Stacks = append(db.Stacks[:i:i], db.Stacks[i+1:]...)
				break
			}
		}
		return nil
	})
}
