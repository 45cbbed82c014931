package portainer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RemoteCommit asks a repository itself, as `git ls-remote` does, for the commit that g.Reference is at.
// Compared with GitSource.Commit of the deployed stack it tells whether there is anything to deploy:
// the server makes all containers anew at each redeployment, whether or not something changed. It
// speaks HTTP alone, as Portainer itself.
func RemoteCommit(ctx context.Context, g GitSource) (string, error) {
	op := "asking for the newest commit of " + g.String()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(g.URL, "/")+"/info/refs?service=git-upload-pack", nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return "", fmt.Errorf("%s: the address must be http:// or https://", op)
	}
	if g.User != "" || g.Password != "" {
		req.SetBasicAuth(g.User, g.Password)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: g.TLSSkipVerify}}
	resp, err := (&http.Client{Transport: transport}).Do(req) // it follows redirects, and drops the password on the way to another host
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, unreached(ctx, err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return "", fmt.Errorf("%s: it says %s; check the repository's user and password", op, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: it says %s", op, resp.Status)
	}
	want := g.Reference
	if want == "" {
		want = "HEAD"
	}
	commit, err := findRef(io.LimitReader(resp.Body, maxAnswer), want)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	return commit, nil
}

// findRef reads git's list of references: lines, each after its length in four hex digits.
func findRef(r io.Reader, want string) (string, error) {
	in := bufio.NewReader(r)
	for ended := 0; ended < 2; { // the service's name, then the list, each ended by a length of 0
		var digits [4]byte
		if _, err := io.ReadFull(in, digits[:]); err != nil {
			return "", fmt.Errorf("the answer is not git's: %w", err)
		}
		length, err := strconv.ParseUint(string(digits[:]), 16, 16)
		if err != nil || length > 0 && length < 4 {
			return "", errors.New("the answer is not git's")
		}
		if length == 0 {
			ended++
			continue
		}
		line := make([]byte, length-4)
		if _, err := io.ReadFull(in, line); err != nil {
			return "", fmt.Errorf("the answer is cut off: %w", err)
		}
		text, _, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\x00") // abilities follow the first name
		if commit, name, ok := strings.Cut(text, " "); ok && name == want {
			return commit, nil
		}
	}
	return "", fmt.Errorf("it has no %s; a branch is named in full, such as refs/heads/main", want)
}
