package portainer

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var errUnauthorized = errors.New("unauthorized")

// authenticate finds the user of a request: API key, then cookie, then Bearer.
func (s *Server) authenticate(r *http.Request) (user, error) {
	invalid := fail(http.StatusUnauthorized, "Invalid JWT token", errUnauthorized)
	if key := r.Header.Get("X-API-KEY"); key != "" {
		digest := apiKeyDigest(key)
		var found *user
		s.view(func(db *database) {
			for _, k := range db.Keys {
				if subtle.ConstantTimeCompare([]byte(k.Digest), []byte(digest)) == 1 {
					found = db.user(k.UserID)
				}
			}
			if found != nil {
				copied := *found
				found = &copied
			}
		})
		if found == nil {
			return user{}, invalid
		}
		return *found, nil
	}
	token := ""
	if c, err := r.Cookie(authCookie); err == nil {
		token = c.Value
	} else if bearer, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); given {
		token = bearer
	}
	if token == "" {
		return user{}, fail(http.StatusUnauthorized, "A valid authorization token is missing", errUnauthorized)
	}
	id, ok := s.checkJWT(token)
	if !ok {
		return user{}, invalid
	}
	var u *user
	s.view(func(db *database) {
		if u = db.user(id); u != nil {
			copied := *u
			u = &copied
		}
	})
	if u == nil {
		return user{}, fail(http.StatusUnauthorized, "An authorization token is invalid", errUnauthorized)
	}
	return *u, nil
}

func apiKeyDigest(raw string) string {
	sum := sha256.Sum256([]byte(raw))
	return base64.StdEncoding.EncodeToString(sum[:])
}

type claims struct {
	ID       int    `json:"id"`
	Username string `json:"username"`
	Role     int    `json:"role"`
	Expires  int64  `json:"exp"`
	Issued   int64  `json:"iat"`
}

// newJWT signs a token with the key of this process: a restart ends all sessions.
func (s *Server) newJWT(u user) (string, error) {
	session := 8 * time.Hour
	s.view(func(db *database) {
		if d, err := time.ParseDuration(db.Settings.UserSessionTimeout); err == nil {
			session = d
		}
	})
	body, err := json.Marshal(claims{u.ID, u.Username, u.Role, s.now().Add(session).Unix(), s.now().Unix()})
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(body)
	return text + "." + enc.EncodeToString(s.mac(text)), nil
}

func (s *Server) mac(text string) []byte {
	m := hmac.New(sha256.New, s.jwtKey)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (s *Server) checkJWT(token string) (id int, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return 0, false
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil || !hmac.Equal(signature, s.mac(token[:i])) {
		return 0, false
	}
	_, body, _ := strings.Cut(token[:i], ".")
	b, err := base64.RawURLEncoding.DecodeString(body)
	var c claims
	if err != nil || json.Unmarshal(b, &c) != nil || s.now().Unix() > c.Expires {
		return 0, false
	}
	return c.ID, true
}

func (s *Server) login(c *call) (int, any, error) {
	client, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		client = c.RemoteAddr
	}
	if !s.limit.allow(client) {
		return 0, nil, fail(http.StatusForbidden, "Access denied", errors.New("access denied to resource"))
	}
	var p struct{ Username, Password string }
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.Username == "" || p.Password == "" {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid username or password"))
	}
	var found *user
	s.view(func(db *database) {
		for _, u := range db.Users {
			if strings.EqualFold(u.Username, p.Username) {
				found = &u
			}
		}
	})
	if found == nil || bcrypt.CompareHashAndPassword([]byte(found.Password), []byte(p.Password)) != nil {
		return 0, nil, fail(http.StatusUnprocessableEntity, "Invalid credentials", errUnauthorized)
	}
	token, err := s.newJWT(*found)
	if err != nil {
		return 0, nil, err
	}
	if !s.Version.before(2, 20, 0) {
		http.SetCookie(c.w, &http.Cookie{Name: authCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	return http.StatusOK, map[string]string{"jwt": token}, nil
}

func (s *Server) logout(c *call) (int, any, error) {
	if _, err := c.Cookie(authCookie); err != nil && s.is.LogoutPanics {
		panic(http.ErrAbortHandler) // the real one dereferences nil; net/http drops the connection
	}
	http.SetCookie(c.w, &http.Cookie{Name: authCookie, Path: "/", MaxAge: -1})
	return http.StatusNoContent, nil, nil
}

// limiter bans a client that signs in more than ten times within a second, for an hour.
type limiter struct {
	now func() time.Time

	mu     sync.Mutex
	recent map[string][]time.Time
	banned map[string]time.Time
}

const (
	loginsPerSecond = 10
	banFor          = time.Hour
)

func (l *limiter) allow(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recent == nil {
		l.recent, l.banned = map[string][]time.Time{}, map[string]time.Time{}
	}
	now := l.now()
	if until, banned := l.banned[client]; banned && now.Before(until) {
		return false
	}
	kept := l.recent[client][:0]
	for _, t := range l.recent[client] {
		if now.Sub(t) < time.Second {
			kept = append(kept, t)
		}
	}
	l.recent[client] = append(kept, now)
	if len(l.recent[client]) > loginsPerSecond {
		l.banned[client] = now.Add(banFor)
		return false
	}
	return true
}
