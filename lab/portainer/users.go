package portainer

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

func (s *Server) adminCheck(*call) (int, any, error) {
	found := false
	s.view(func(db *database) { found = db.hasAdmin() })
	if !found {
		return 0, nil, fail(http.StatusNotFound, "No administrator account found inside the database", errors.New("object not found inside the database"))
	}
	return http.StatusNoContent, nil, nil
}

// checkSetupToken refuses a request without this process's setup token, if it has one.
func (s *Server) checkSetupToken(r *http.Request) error {
	s.mu.Lock()
	token := s.token
	s.mu.Unlock()
	if token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Setup-Token")), []byte(token)) != 1 {
		return fail(http.StatusForbidden, "Invalid or missing setup token. Provide the X-Setup-Token header with the token printed in the server logs at startup.", errors.New("access denied to resource"))
	}
	return nil
}

func (s *Server) adminInit(c *call) (int, any, error) {
	if err := s.checkSetupToken(c.Request); err != nil {
		return 0, nil, err
	}
	var p struct{ Username, Password string }
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.Username == "" || strings.ContainsAny(p.Username, " \t\n") {
		//lint:ignore ST1005 Portainer's own words
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("Invalid username. Must not contain any whitespace"))
	}
	if p.Password == "" {
		//lint:ignore ST1005 Portainer's own words
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("Invalid password"))
	}
	var made user
	err := s.update(func(db *database) error {
		if db.hasAdmin() {
			return fail(http.StatusConflict, "Unable to create administrator user", errors.New("an administrator user already exists"))
		}
		if len(p.Password) < db.Settings.PasswordLength {
			return fail(http.StatusBadRequest, "Password does not meet the requirements", nil)
		}
		hash, err := hashPassword(p.Password)
		if err != nil {
			return err
		}
		made = user{ID: db.next("user"), Username: p.Username, Password: hash, Role: 1}
		db.Users = append(db.Users, made)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	c.changed = true
	return http.StatusOK, made, nil // with the hash, as the real one
}

// hashPassword uses bcrypt's lowest cost: a rehearsal has nothing to guard, and sign-ins to be quick.
func hashPassword(password string) (string, error) {
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	return string(b), err
}

func (s *Server) me(c *call) (int, any, error) {
	c.user.Password = ""
	return http.StatusOK, c.user, nil
}

func (s *Server) listUsers(*call) (int, any, error) {
	var out []user
	s.view(func(db *database) { out = slices.Clone(db.Users) })
	for i := range out {
		out[i].Password = ""
	}
	return http.StatusOK, out, nil
}

func (s *Server) createUser(c *call) (int, any, error) {
	var p struct {
		Username, Password string
		Role               int
	}
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	if p.Username == "" || strings.Contains(p.Username, " ") || p.Role != 1 && p.Role != 2 {
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid username or role"))
	}
	var made user
	err := s.update(func(db *database) error {
		for _, u := range db.Users {
			if strings.EqualFold(u.Username, p.Username) {
				return fail(http.StatusConflict, "Another user with the same username already exists", errors.New("user already exists"))
			}
		}
		if len(p.Password) < db.Settings.PasswordLength {
			return fail(http.StatusBadRequest, "Password does not meet the requirements", nil)
		}
		hash, err := hashPassword(p.Password)
		if err != nil {
			return err
		}
		made = user{ID: db.next("user"), Username: p.Username, Password: hash, Role: p.Role}
		db.Users = append(db.Users, made)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	c.changed = true
	made.Password = ""
	return http.StatusOK, made, nil
}

func (s *Server) changePassword(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var p struct{ Password, NewPassword string }
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	err = s.update(func(db *database) error {
		u := db.user(id)
		if u == nil {
			return notFound("a user", "users", id)
		}
		if c.user.ID == id && bcrypt.CompareHashAndPassword([]byte(u.Password), []byte(p.Password)) != nil {
			return fail(http.StatusForbidden, "Current password doesn't match", errors.New("current password does not match the password provided. Please try again"))
		}
		if len(p.NewPassword) < db.Settings.PasswordLength {
			return fail(http.StatusBadRequest, "Password does not meet the requirements", nil)
		}
		hash, err := hashPassword(p.NewPassword)
		if err != nil {
			return err
		}
		u.Password = hash
		return nil
	})
	c.changed = err == nil
	return http.StatusNoContent, nil, err
}

func (s *Server) createKey(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	var p struct{ Description, Password string }
	if err := c.decode(&p); err != nil {
		return 0, nil, err
	}
	switch {
	case strings.TrimSpace(p.Description) == "":
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("invalid description: cannot be empty"))
	case p.Password == "" && !s.Version.before(2, 20, 0):
		//lint:ignore ST1005 Portainer's own words
		return 0, nil, fail(http.StatusBadRequest, "Invalid request payload", errors.New("Invalid password: cannot be empty"))
	case id != c.user.ID:
		return 0, nil, fail(http.StatusForbidden, "Permission denied to create user access token", errors.New("access denied to resource"))
	case !s.Version.before(2, 20, 0) && bcrypt.CompareHashAndPassword([]byte(c.user.Password), []byte(p.Password)) != nil:
		return 0, nil, fail(http.StatusForbidden, "Current password doesn't match", errors.New("current password does not match the password provided. Please try again"))
	}
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return 0, nil, err
	}
	raw := "ptr_" + base64.StdEncoding.EncodeToString(b)
	var key apiKey
	err = s.update(func(db *database) error {
		key = apiKey{ID: db.next("key"), UserID: id, Description: p.Description, Prefix: raw[:7], DateCreated: s.now().Unix(), Digest: apiKeyDigest(raw)}
		db.Keys = append(db.Keys, key)
		return nil
	})
	c.changed = err == nil
	return s.is.TokenStatus, map[string]any{"rawAPIKey": raw, "apiKey": key}, err
}

func (s *Server) listKeys(c *call) (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	out := []apiKey{}
	s.view(func(db *database) {
		for _, k := range db.Keys {
			if k.UserID == id {
				k.Digest = ""
				out = append(out, k)
			}
		}
	})
	return http.StatusOK, out, nil
}

func (s *Server) deleteKey(c *call) (int, any, error) {
	id, err := strconv.Atoi(c.PathValue("key"))
	if err != nil {
		return 0, nil, fail(http.StatusBadRequest, "Invalid api-key identifier route variable", err)
	}
	err = s.update(func(db *database) error {
		before := len(db.Keys)
		db.Keys = slices.DeleteFunc(db.Keys, func(k apiKey) bool { return k.ID == id })
		if len(db.Keys) == before {
			return notFound("an api-key", "api_key", id)
		}
		return nil
	})
	c.changed = err == nil
	return http.StatusNoContent, nil, err
}
