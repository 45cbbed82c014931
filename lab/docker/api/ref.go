package api

import (
	"errors"
	"regexp"
	"strings"
)

// Reference is a parsed image name. Domain is "docker.io" when none is given, and Path has "library/"
// in front for one-word names there, as Docker has it.
type Reference struct{ Domain, Path, Tag, Digest string }

// ErrReference is the daemon's error for an image name that is not well formed.
var ErrReference = errors.New("invalid reference format")

var (
	refDomain = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?$`)
	refPath   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	refTag    = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
	refDigest = regexp.MustCompile(`^[a-z0-9]+:[0-9a-f]{32,}$`)
)

// ParseReference parses an image name; with neither tag nor digest the tag is latest.
func ParseReference(s string) (Reference, error) {
	var r Reference
	rest := s
	if name, digest, found := strings.Cut(rest, "@"); found {
		if !refDigest.MatchString(digest) {
			return r, ErrReference
		}
		rest, r.Digest = name, digest
	}
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		rest, r.Tag = rest[:i], rest[i+1:]
		if !refTag.MatchString(r.Tag) {
			return r, ErrReference
		}
	}
	r.Domain, r.Path = "docker.io", rest
	if first, path, found := strings.Cut(rest, "/"); found && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.Domain, r.Path = first, path
	}
	if r.Domain == "index.docker.io" {
		r.Domain = "docker.io"
	}
	if r.Domain == "docker.io" && !strings.Contains(r.Path, "/") {
		r.Path = "library/" + r.Path
	}
	if !refDomain.MatchString(r.Domain) || !refPath.MatchString(r.Path) {
		return r, ErrReference
	}
	if r.Tag == "" && r.Digest == "" {
		r.Tag = "latest"
	}
	return r, nil
}

// Familiar is the repository as people write it: without docker.io and library.
func (r Reference) Familiar() string {
	if r.Domain == "docker.io" {
		return strings.TrimPrefix(r.Path, "library/")
	}
	return r.Domain + "/" + r.Path
}

// String is the familiar name with its tag or digest.
func (r Reference) String() string {
	s := r.Familiar()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}
