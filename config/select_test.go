package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func machines() *Config {
	return &Config{VMs: []VM{
		{ID: 1003, Name: "web-1", Tags: []string{"web", "prod"}, DependsOn: []VMRef{{1001, "db"}}},
		{ID: 1004, Name: "web-2", Tags: []string{"web"}, DependsOn: []VMRef{{1001, "db"}, {1002, "cache"}}},
		{ID: 1001, Name: "db", Tags: []string{"prod"}},
		{ID: 1002, Name: "cache", DependsOn: []VMRef{{1001, "db"}}},
	}}
}

func TestSelect(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{"", "db web-1 cache web-2"},
		{" , ", "db web-1 cache web-2"},
		{"web-1", "web-1"},
		{"WEB-1", "web-1"},
		{"1001", "db"},
		{"100[12]", "db cache"},
		{"web", "web-1 web-2"},
		{"web*", "web-1 web-2"},
		{"prod,cache", "db web-1 cache"},
		{"web,!web-1", "web-2"},
		{"!web", "db cache"},
		{"!web,!cache", "db"},
		{"!prod, web", "web-2"},
		{"?b", "db"},
	}
	for _, tt := range tests {
		vms, err := machines().Select(tt.pattern)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		var names []string
		for _, vm := range vms {
			names = append(names, vm.Name)
		}
		if diff := cmp.Diff(tt.want, strings.Join(names, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.pattern, diff)
		}
	}
}

func TestSelectErrors(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{"wbe-1", `limit "wbe-1": fits the name, id or tag of no machine; did you mean "web-1"?`},
		{"web,nothing-like-it", `limit "nothing-like-it": fits the name, id or tag of no machine`},
		{"web,!web", `limit "web,!web": leaves no machine`},
		{"[a", `limit "[a": is no pattern: a [ must be closed by a ]`},
		{"!", `limit "!": a name, an id or a tag must follow`},
	}
	for _, tt := range tests {
		_, err := machines().Select(tt.pattern)
		var se *SelectError
		if !errors.As(err, &se) || err.Error() != tt.want {
			t.Errorf("%q: error %v, want %s", tt.pattern, err, tt.want)
		}
	}
}

func TestSelectRefusesCycles(t *testing.T) {
	c := machines()
	c.VMs[2].DependsOn = []VMRef{{1004, "web-2"}}
	_, err := c.Select("")
	var cycle *CycleError
	if !errors.As(err, &cycle) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff("machines wait for each other in a circle: db → web-2 → db", err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestVM(t *testing.T) {
	c := machines()
	for _, key := range []string{"1002", "cache", "Cache"} {
		if vm, ok := c.VM(key); !ok || vm.ID != 1002 {
			t.Errorf("VM(%q) = %v, %v", key, vm.ID, ok)
		}
	}
	if _, ok := c.VM("nothing"); ok {
		t.Error("VM finds what is not there")
	}
}

func TestNormalStackName(t *testing.T) {
	for name, want := range map[string]string{"My App.1_x-Y!": "myapp1_x-y", "qdrant_service": "qdrant_service", "Ж": ""} {
		if got := NormalStackName(name); got != want {
			t.Errorf("NormalStackName(%q) = %q, want %q", name, got, want)
		}
	}
}
