package proxmox

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ticketLife is how long a ticket is good for.
const ticketLife = 2 * time.Hour

// identity is who a request comes from.
type identity struct {
	user  string // name@realm
	token string // id of the API token, "" with a ticket
}

func (i identity) String() string {
	if i.token != "" {
		return i.user + "!" + i.token
	}
	return i.user
}

// root reports whether Proxmox's checks for root@pam hold: not for tokens, whatever their rights.
func (i identity) root() bool { return i.user == "root@pam" && i.token == "" }

// authenticate finds out who sent the request.
func (s *Server) authenticate(r *http.Request) (identity, error) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "PVEAPIToken="); ok {
		return s.checkToken(token)
	}
	ticket := ""
	if cookie, err := r.Cookie("PVEAuthCookie"); err == nil {
		ticket = cookie.Value
		if strings.Contains(ticket, "%") {
			ticket = strings.NewReplacer("%3A", ":", "%3a", ":", "%40", "@", "%2B", "+", "%2b", "+", "%2F", "/", "%2f", "/", "%3D", "=", "%3d", "=").Replace(ticket)
		}
	}
	if ticket == "" {
		return identity{}, unauthorized("No ticket")
	}
	user, err := s.checkTicket(ticket)
	if err != nil {
		return identity{}, err
	}
	if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/upload") {
		if !s.checkCSRF(user, r.Header.Get("CSRFPreventionToken")) {
			return identity{}, unauthorized("Permission denied - invalid csrf token")
		}
	}
	return identity{user: user}, nil
}

func (s *Server) checkToken(text string) (identity, error) {
	id, given, ok := strings.Cut(text, "=")
	user, token, named := strings.Cut(id, "!")
	if !ok || !named {
		return identity{}, unauthorized("no such user ('" + id + "')")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.cluster.user(user)
	if u == nil {
		return identity{}, unauthorized("no such user ('" + user + "')")
	}
	t := u.token(token)
	if t == nil {
		return identity{}, unauthorized(fmt.Sprintf("no such token '%s' for user '%s'", token, user))
	}
	if subtle.ConstantTimeCompare([]byte(given), []byte(t.Secret)) != 1 {
		return identity{}, unauthorized("invalid token value!")
	}
	return identity{user, token}, nil
}

// newTicket makes what POST access/ticket gives out.
func (s *Server) newTicket(user string, at time.Time) (ticket, csrf string) {
	stamp := strings.ToUpper(strconv.FormatInt(at.UnixNano(), 16))
	plain := "PVE:" + user + ":" + stamp
	return plain + "::" + s.sign(plain), stamp + ":" + s.sign(stamp+":"+user)
}

func (s *Server) sign(text string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Server) checkTicket(ticket string) (user string, err error) {
	invalid := unauthorized("permission denied - invalid PVE ticket")
	plain, signature, ok := strings.Cut(ticket, "::")
	parts := strings.Split(plain, ":")
	if !ok || len(parts) != 3 || parts[0] != "PVE" || !hmac.Equal([]byte(signature), []byte(s.sign(plain))) {
		return "", invalid
	}
	nano, err := strconv.ParseInt(parts[2], 16, 64)
	if err != nil {
		return "", invalid
	}
	made := time.Unix(0, nano)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(made) > ticketLife || !made.After(s.expired) || s.cluster.user(parts[1]) == nil {
		return "", invalid
	}
	return parts[1], nil
}

func (s *Server) checkCSRF(user, csrf string) bool {
	stamp, signature, ok := strings.Cut(csrf, ":")
	return ok && hmac.Equal([]byte(signature), []byte(s.sign(stamp+":"+user)))
}

// login is POST access/ticket: a password, or a ticket that is to be renewed.
func login(c *call) (any, error) {
	s := c.server
	user, password := c.params.get("username"), c.params.get("password")
	if realm := c.params.get("realm"); realm != "" && !strings.Contains(user, "@") {
		user += "@" + realm
	}
	refused := &apiError{status: http.StatusUnauthorized, text: "authentication failure"}
	renewed, err := s.checkTicket(password)
	if err != nil || renewed != user {
		s.mu.Lock()
		u := s.cluster.user(user)
		s.mu.Unlock()
		if u == nil || u.Password == "" || subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) != 1 {
			return nil, refused
		}
	}
	c.user = identity{user: user}
	ticket, csrf := s.newTicket(user, s.now())
	out := map[string]any{
		"username": user, "ticket": ticket, "CSRFPreventionToken": csrf,
		"cap": map[string]any{"vms": s.capabilities(c.user, "/vms"), "nodes": s.capabilities(c.user, "/nodes"),
			"storage": s.capabilities(c.user, "/storage"), "dc": s.capabilities(c.user, "/"), "access": s.capabilities(c.user, "/access")},
	}
	if name := s.clusterName(); name != "" {
		out["clustername"] = name
	}
	return out, nil
}

func (s *Server) capabilities(who identity, path string) map[string]int {
	out := map[string]int{}
	for p := range s.privileges(who, path) {
		out[p] = 1
	}
	return out
}

func (s *Server) clusterName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster.Name
}
