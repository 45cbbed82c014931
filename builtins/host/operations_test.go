package host_test

import (
	"testing"

	"phoenix-run/builtins/host/hosttest"
)

// TestOperations applies every operation to a real Debian tree behind a real sshd.
func TestOperations(t *testing.T) { hosttest.Run(t, hosttest.Start(t), hosttest.Cases()) }

// TestExamples runs the examples of the reference, each as people would.
func TestExamples(t *testing.T) { hosttest.Run(t, hosttest.Start(t), hosttest.Examples()) }
