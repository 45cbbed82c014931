package portainer

import (
	"encoding/json"
	"slices"
)

// Kinds of environments.
const (
	typeDocker = 1 // a Docker socket or address
	typeAgent  = 2 // an agent before Docker
)

// endpoint is an environment as it is kept and, with a snapshot, shown.
type endpoint struct {
	ID              int       `json:"Id"`
	Name            string    `json:"Name"`
	Type            int       `json:"Type"`
	ContainerEngine string    `json:"ContainerEngine"`
	URL             string    `json:"URL"`
	GroupID         int       `json:"GroupId"`
	PublicURL       string    `json:"PublicURL"`
	TLSConfig       tlsChoice `json:"TLSConfig"`
	TagIDs          []int     `json:"TagIds"`
	Status          int       `json:"Status"` // 1 up, 2 down
}

type tlsChoice struct {
	TLS               bool `json:"TLS"`
	TLSSkipVerify     bool `json:"TLSSkipVerify"`
	TLSSkipClientAuth bool `json:"-"`
}

// snapshot is what the server last saw of an environment.
type snapshot struct {
	Time                    int64
	DockerVersion           string
	Swarm                   bool
	TotalCPU                int
	TotalMemory             int64
	ContainerCount          int
	RunningContainerCount   int
	StoppedContainerCount   int
	HealthyContainerCount   int
	UnhealthyContainerCount int
	VolumeCount             int
	ImageCount              int
	ServiceCount            int
	StackCount              int
	NodeCount               int
	DockerSnapshotRaw       map[string]any
}

// shown is an environment as the API shows it in this version.
func (s *Server) shown(e endpoint, withSnapshot bool) map[string]any {
	m := map[string]any{
		"Id": e.ID, "Name": e.Name, "Type": e.Type, "URL": e.URL, "GroupId": e.GroupID, "PublicURL": e.PublicURL,
		"TLSConfig": e.TLSConfig, "TagIds": orEmpty(e.TagIDs), "Gpus": []any{}, "Status": e.Status, "Snapshots": []any{},
		"UserAccessPolicies": map[string]any{}, "TeamAccessPolicies": map[string]any{}, "EdgeKey": "", "EdgeCheckinInterval": 5,
		"ComposeSyntaxMaxVersion": "3.9", "LastCheckInDate": 0, "QueryDate": s.now().Unix(), "Heartbeat": false, "UserTrusted": false,
		"SecuritySettings": map[string]any{"allowBindMountsForRegularUsers": true, "allowPrivilegedModeForRegularUsers": true, "enableHostManagementFeatures": false},
	}
	if s.is.ContainerEngine {
		m["ContainerEngine"] = e.ContainerEngine
	}
	if e.Type == typeAgent {
		m["Agent"] = map[string]any{"Version": s.agents[e.ID]}
	}
	if snap, taken := s.snapshots[e.ID]; taken && withSnapshot {
		m["Snapshots"] = []snapshot{snap}
	}
	if s.is.OmitEmpty {
		for _, key := range []string{"TagIds", "Gpus", "Snapshots", "UserAccessPolicies", "TeamAccessPolicies"} {
			if b, err := json.Marshal(m[key]); err == nil && (string(b) == "[]" || string(b) == "{}") {
				delete(m, key)
			}
		}
	}
	return m
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return slices.Clone(list)
}
