package docker

import "phoenix-run/lab/guest"

// hostOf is a guest as its engine sees it.
func hostOf(g *guest.Guest) Host { return g }
