package docker

import (
	"phoenix-run/lab/docker/api"
)

// state is what survives.
type state struct {
	ID         string
	BootID     string // of the boot in which the daemon last ran; "" after an orderly stop
	Containers []savedContainer
	Images     map[string]api.Image
	Networks   map[string]*api.Network
	Volumes    map[string]api.Volume
}

type savedContainer struct {
	api.Container
	StoppedByHand bool
	Anonymous     []string // its anonymous volumes
}

const stateKey = "docker"
