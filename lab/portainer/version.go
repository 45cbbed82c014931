package portainer

import (
	"fmt"
	"strconv"
	"strings"
)

// Latest is the version behind the tags latest and lts.
const Latest = "2.45.0"

// Version is a Portainer version.
type Version struct{ Major, Minor, Patch int }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// before compares with another version.
func (v Version) before(major, minor, patch int) bool {
	switch {
	case v.Major != major:
		return v.Major < major
	case v.Minor != minor:
		return v.Minor < minor
	}
	return v.Patch < patch
}

// ParseVersion reads an image's tag: 2.39.0, 2.39, 2.39.0-alpine, latest, lts, sts, or "" for latest.
func ParseVersion(tag string) (Version, error) {
	tag, _, _ = strings.Cut(tag, "-")
	switch tag {
	case "", "latest", "lts", "sts", "alpine":
		tag = Latest
	}
	var v Version
	parts := strings.Split(strings.TrimPrefix(tag, "v"), ".")
	for i, to := range []*int{&v.Major, &v.Minor, &v.Patch} {
		if i >= len(parts) {
			break
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return v, fmt.Errorf("portainer: version %q: %w", tag, err)
		}
		*to = n
	}
	return v, nil
}

// behaviour is what differs between versions of the server.
type behaviour struct {
	LegacyCreate       bool // POST /stacks?type=&method=
	Async              bool // deploys answer at once; Status 3 and 4
	DownOnFailedUpdate bool // a failed update takes the project down
	Prune              bool // the field Prune works on standalone stacks
	OrphansVariable    bool // COMPOSE_REMOVE_ORPHANS in a stack's variables works
	RedeployKeeps      bool // git redeploy without Env and ref keeps them
	GitURLEditable     bool // POST /stacks/{id}/git takes another URL and path
	StripGitSuffix     bool // .git is taken off GitConfig.URL
	GitDetails         bool // clone errors are details of "Failed to prepare stack"
	OldGitCredential   bool // text of wrong git credentials
	FileConflict       bool // GET file is 409 after a change of git settings
	GorillaCSRF        bool // a cookie without CSRF token is refused
	CrossOrigin        bool // a foreign Origin is refused
	TokenStatus        int  // of POST /users/{id}/tokens
	LogoutPanics       bool // POST /auth/logout without the cookie drops the connection
	SetupToken         bool // the first administrator needs the token in the log
	OmitEmpty          bool // empty fields of an environment are left out
	DemoEnvironment    bool // in system/status
	ContainerEngine    bool // the field of environments
	JSONProxyFailure   bool // docker proxy's 502 has a body
	OldDockerClient    bool // its own Docker client is too old for Docker 29
	TrustedOriginsFlag bool // --trusted-origins
}

func (v Version) behaviour() behaviour {
	since := func(minor, patch int) bool { return !v.before(2, minor, patch) }
	b := behaviour{
		LegacyCreate:       !since(27, 0),
		Async:              since(41, 0),
		DownOnFailedUpdate: !since(39, 0),
		Prune:              since(40, 0),
		OrphansVariable:    since(29, 0) || since(23, 0) && !since(27, 0),
		RedeployKeeps:      since(41, 0),
		GitURLEditable:     since(40, 0),
		StripGitSuffix:     since(41, 0),
		GitDetails:         since(41, 0),
		OldGitCredential:   !since(24, 0),
		FileConflict:       since(43, 0),
		GorillaCSRF:        since(20, 0) && !since(41, 0),
		CrossOrigin:        since(41, 0),
		TokenStatus:        201,
		LogoutPanics:       since(21, 0) && !since(33, 0),
		SetupToken:         since(43, 0),
		OmitEmpty:          since(41, 0),
		DemoEnvironment:    !since(22, 0),
		ContainerEngine:    since(23, 0),
		JSONProxyFailure:   since(35, 0),
		OldDockerClient:    !since(33, 5) || since(34, 0) && !since(36, 0),
		TrustedOriginsFlag: since(27, 7),
	}
	if since(29, 0) {
		b.TokenStatus = 200
	}
	return b
}
