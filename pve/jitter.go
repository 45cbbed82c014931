package pve

import (
	"math/rand/v2"
	"time"
)

// jitter spreads retries, so that those who were refused together don't come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
