package layertest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain lets more tests go side by side than there are processors: they wait for the lab most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
