package portainer

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
)

// Store keeps a server's data: what is mounted at /data.
type Store interface {
	Load(into any) error
	Save(v any) error
}

// database is all that a server keeps.
type database struct {
	InstanceID string
	Version    string
	Next       map[string]int // last id by kind
	Users      []user
	Keys       []apiKey
	Endpoints  []endpoint
	Groups     []group
	Tags       []tag
	Stacks     []stack
	Registries []registry
	Settings   settings
	SigningKey []byte // towards agents
	TLSKey     []byte
	TLSCert    []byte
}

type settings struct {
	LogoURL            string
	UserSessionTimeout string
	SnapshotInterval   string
	TemplatesURL       string
	PasswordLength     int
	EnableTelemetry    bool
}

type user struct {
	ID       int    `json:"Id"`
	Username string `json:"Username"`
	Password string `json:"Password,omitempty"` // bcrypt
	Role     int    `json:"Role"`               // 1 administrator, 2 user
}

type apiKey struct {
	ID          int    `json:"id"`
	UserID      int    `json:"userId"`
	Description string `json:"description"`
	Prefix      string `json:"prefix"`
	DateCreated int64  `json:"dateCreated"`
	LastUsed    int64  `json:"lastUsed"`
	Digest      string `json:"digest"`
}

type tag struct {
	ID             int          `json:"ID"`
	Name           string       `json:"Name"`
	Endpoints      map[int]bool `json:"Endpoints"`
	EndpointGroups map[int]bool `json:"EndpointGroups"`
}

type group struct {
	ID          int    `json:"Id"`
	Name        string `json:"Name"`
	Description string `json:"Description"`
	TagIDs      []int  `json:"TagIds"`
}

type registry struct {
	ID             int    `json:"Id"`
	Type           int    `json:"Type"`
	Name           string `json:"Name"`
	URL            string `json:"URL"`
	BaseURL        string `json:"BaseURL"`
	Authentication bool   `json:"Authentication"`
	Username       string `json:"Username"`
	Password       string `json:"Password,omitempty"`
}

// next gives out ids: 1, 2, … by kind, never the same again.
func (db *database) next(kind string) int {
	db.Next[kind]++
	return db.Next[kind]
}

// find returns the element of list whose id is id.
func find[T any](list []T, id int, of func(*T) int) *T {
	for i := range list {
		if of(&list[i]) == id {
			return &list[i]
		}
	}
	return nil
}

func (db *database) user(id int) *user { return find(db.Users, id, func(u *user) int { return u.ID }) }
func (db *database) endpoint(id int) *endpoint {
	return find(db.Endpoints, id, func(e *endpoint) int { return e.ID })
}
func (db *database) stack(id int) *stack {
	return find(db.Stacks, id, func(s *stack) int { return s.ID })
}
func (db *database) tag(id int) *tag { return find(db.Tags, id, func(t *tag) int { return t.ID }) }
func (db *database) group(id int) *group {
	return find(db.Groups, id, func(g *group) int { return g.ID })
}
func (db *database) registry(id int) *registry {
	return find(db.Registries, id, func(r *registry) int { return r.ID })
}

func (db *database) hasAdmin() bool {
	return slices.ContainsFunc(db.Users, func(u user) bool { return u.Role == 1 })
}

// open loads the data, or makes that of a new installation.
func open(store Store, version Version) (*database, error) {
	db := &database{}
	if err := store.Load(db); err != nil {
		return nil, fmt.Errorf("portainer: reading the data: %w", err)
	}
	if db.InstanceID == "" {
		db.InstanceID = uuid()
		db.Next = map[string]int{"group": 1}
		db.Groups = []group{{ID: 1, Name: "Unassigned", Description: "Unassigned environments", TagIDs: []int{}}}
		db.Settings = settings{UserSessionTimeout: "8h", SnapshotInterval: "5m", PasswordLength: 12}
		signing, err := newKey()
		if err != nil {
			return nil, err
		}
		secure, err := newKey()
		if err != nil {
			return nil, err
		}
		if db.SigningKey, err = x509.MarshalECPrivateKey(signing); err != nil {
			return nil, err
		}
		if db.TLSKey, err = x509.MarshalECPrivateKey(secure); err != nil {
			return nil, err
		}
		if db.TLSCert, err = certificate(secure, "0.0.0.0"); err != nil {
			return nil, err
		}
	}
	if old, err := ParseVersion(db.Version); err == nil && db.Version != "" && version.before(old.Major, old.Minor, 0) {
		return nil, fmt.Errorf("FTL failed migration: the database schema version %s is newer than the server's, %s: downgrading is not supported", db.Version, version)
	}
	db.Version = version.String()
	return db, store.Save(db)
}

func (db *database) key(der []byte) (*ecdsa.PrivateKey, error) { return x509.ParseECPrivateKey(der) }

func uuid() string {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		panic(err) // never returned by crypto/rand
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
