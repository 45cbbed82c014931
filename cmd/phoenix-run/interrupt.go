package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"phoenix-run/runner"
)

var errInterrupted = errors.New("interrupted")

// interruptible lets Ctrl-C stop a run: once, nothing new is begun and waits end; twice, what is
// under way is cancelled; three times, the program ends where it is.
func interruptible(ctx context.Context, run *runner.Run) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			switch n {
			case 1:
				fmt.Fprintln(os.Stderr, "phoenix-run: finishing what has begun; Ctrl-C again to cancel it")
				run.Stop()
			case 2:
				fmt.Fprintln(os.Stderr, "phoenix-run: cancelling; Ctrl-C again to end at once")
				cancel(errInterrupted)
			default:
				os.Exit(exitInterrupted)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
