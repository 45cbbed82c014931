package docker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"phoenix-run/lab/docker/api"
)

// ErrDiskFull is what a daemon says when a layer does not fit.
var ErrDiskFull = errors.New("failed to register layer: write /usr/lib/x86_64-linux-gnu/libcrypto.so.3: no space left on device")

// ErrManifest is what a registry says that has no such tag.
func ErrManifest(image string) error {
	return fmt.Errorf("manifest for %s not found: manifest unknown: manifest unknown", image)
}

// SeededFaults makes pulls and starts of containers fail with a full disk or a missing image. They
// depend only on the seed and on the order of calls: at most most of them, each call with the given
// probability, and only for images that hit accepts (nil: all).
func SeededFaults(seed uint64, rate float64, most int, hit func(image string) bool) Faults {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // it is to repeat
	draw := func(image string) (kind int, faulty bool) {
		if hit != nil && !hit(image) {
			return 0, false
		}
		mu.Lock()
		defer mu.Unlock()
		if most <= 0 || random.Float64() >= rate {
			return 0, false
		}
		most--
		return random.IntN(2), true
	}
	return Faults{
		Pull: func(_, image string) error {
			switch kind, faulty := draw(image); {
			case !faulty:
				return nil
			case kind == 0:
				return ErrManifest(image)
			}
			return ErrDiskFull
		},
		Start: func(_ string, c api.Container) error {
			if _, faulty := draw(c.Config.Image); faulty {
				return errors.New("failed to create task for container: mkdir /run/containerd/io.containerd.runtime.v2.task/moby: no space left on device")
			}
			return nil
		},
	}
}
