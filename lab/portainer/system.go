package portainer

import (
	"errors"
	"net/http"
	"time"
)

func (s *Server) status(*call) (int, any, error) {
	var instance string
	s.view(func(db *database) { instance = db.InstanceID })
	m := map[string]any{"Version": s.Version.String(), "InstanceID": instance}
	if s.is.DemoEnvironment {
		m["DemoEnvironment"] = map[string]any{"Enabled": false, "Users": nil, "Environments": nil}
	}
	return http.StatusOK, m, nil
}

// versionInfo shows the server's environment, secrets included, as the real one does.
func (s *Server) versionInfo(*call) (int, any, error) {
	return http.StatusOK, map[string]any{
		"UpdateAvailable": false, "LatestVersion": Latest, "ServerVersion": s.Version.String(), "ServerEdition": "CE",
		"DatabaseVersion": s.Version.String(), "VersionSupport": "LTS", "Build": map[string]string{"GoVersion": "go1.25"},
		"Runtime": map[string]any{"Env": s.Env}, "Dependencies": map[string]string{},
	}, nil
}

func (s *Server) publicSettings(*call) (int, any, error) {
	var m map[string]any
	s.mu.Lock()
	defer s.mu.Unlock()
	m = map[string]any{
		"LogoURL": s.db.Settings.LogoURL, "AuthenticationMethod": 1, "RequiredPasswordLength": s.db.Settings.PasswordLength,
		"EnableEdgeComputeFeatures": false, "Features": map[string]bool{}, "OAuthLoginURI": "", "EnableTelemetry": s.db.Settings.EnableTelemetry, "TeamSync": false,
	}
	if s.is.SetupToken {
		m["RequiresSetupToken"] = s.token != "" && !s.db.hasAdmin()
	}
	return http.StatusOK, m, nil
}

func (s *Server) shownSettings(v settings) map[string]any {
	return map[string]any{
		"LogoURL": v.LogoURL, "AuthenticationMethod": 1, "UserSessionTimeout": v.UserSessionTimeout, "SnapshotInterval": v.SnapshotInterval,
		"TemplatesURL": v.TemplatesURL, "EnableTelemetry": v.EnableTelemetry,
		"InternalAuthSettings": map[string]int{"RequiredPasswordLength": v.PasswordLength}, "EdgeAgentCheckinInterval": 5,
	}
}

func (s *Server) getSettings(*call) (int, any, error) {
	var v settings
	s.view(func(db *database) { v = db.Settings })
	return http.StatusOK, s.shownSettings(v), nil
}

func (s *Server) putSettings(c *call) (int, any, error) {
	var p struct {
		LogoURL, UserSessionTimeout, SnapshotInterval, TemplatesURL *string
		EnableTelemetry                                             *bool
		InternalAuthSettings                                        *struct{ RequiredPasswordLength int }
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	for _, d := range []*string{p.UserSessionTimeout, p.SnapshotInterval} {
		if d == nil {
			continue
		}
		if _, err := time.ParseDuration(*d); err != nil {
			return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid user session timeout"))
		}
	}
	var out settings
	err := s.update(func(db *database) error {
		v := &db.Settings
		set(&v.LogoURL, p.LogoURL)
		set(&v.UserSessionTimeout, p.UserSessionTimeout)
		set(&v.SnapshotInterval, p.SnapshotInterval)
		set(&v.TemplatesURL, p.TemplatesURL)
		set(&v.EnableTelemetry, p.EnableTelemetry)
		if p.InternalAuthSettings != nil {
			v.PasswordLength = p.InternalAuthSettings.RequiredPasswordLength
		}
		out = *v
		return nil
	})
	c.changed = err == nil
	return http.StatusOK, s.shownSettings(out), err
}
