//go:build tools

// Package compose pins the docker compose that the tests deploy with: the one whose code Portainer uses.
// Debian 12 has only its predecessor, which reads variables in another way. scripts/test-deps builds it.
package compose

import _ "github.com/docker/compose/v2/cmd"
