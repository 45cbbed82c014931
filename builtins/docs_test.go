package builtins_test

import (
	"os"
	"testing"

	"phoenix-run/builtins"
	"phoenix-run/config"
)

// TestDocsAreCurrent: the reference is made from the declarations, and must not lag behind them.
func TestDocsAreCurrent(t *testing.T) {
	for path, want := range map[string]string{
		"../docs/reference.md":     builtins.Reference(),
		"../docs/configuration.md": config.Reference(),
	} {
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != want {
			t.Errorf("%s is stale: run make docs", path)
		}
	}
}
