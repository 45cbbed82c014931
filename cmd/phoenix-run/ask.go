package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"phoenix-run/remote/ssh"
	"phoenix-run/runner/op"
)

var errDeclined = errors.New("nothing was changed")

// ask puts a question on the terminal; without one it fails, saying which flag answers instead.
func ask(question, instead string) (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", fmt.Errorf("there is no terminal to ask on; %s to answer: %s", instead, question)
	}
	fmt.Fprintf(os.Stderr, "%s ", question)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.TrimSpace(line), err
}

func confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	answer, err := ask(question+" [y/N]", "give --yes")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errDeclined
	}
	return nil
}

// yesOrNo asks what may be answered with no.
func yesOrNo(yes bool) func(string) (bool, error) {
	return func(question string) (bool, error) {
		err := confirm(yes, question)
		if errors.Is(err, errDeclined) {
			return false, nil
		}
		return err == nil, err
	}
}

// askAgain decides about a step that can't be read back and was cut off when it was under way.
func askAgain(yes bool) func(op.Address) (bool, error) {
	return func(addr op.Address) (bool, error) {
		if yes {
			return true, nil
		}
		answer, err := ask(fmt.Sprintf("%s was begun and may have been done. Do it again? [y/n]", addr), "give --yes to do it again, or run the playbook anew,")
		if err != nil {
			return false, err
		}
		return strings.HasPrefix(strings.ToLower(answer), "y"), nil
	}
}

// confirmName asks for a name to be typed, before something is lost for good.
func confirmName(question, want string) error {
	answer, err := ask(question, "give --confirm "+want)
	if err != nil {
		return err
	}
	if answer != want {
		return errDeclined
	}
	return nil
}

// oneQuestion keeps machines that are reached at the same time from asking at the same time.
var oneQuestion sync.Mutex

// askHostKey asks about a machine that is met for the first time. Without a terminal it is refused.
func askHostKey(ctx context.Context, q ssh.Question) (bool, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false, nil // the refusal tells what to do
	}
	oneQuestion.Lock()
	defer oneQuestion.Unlock()
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	answer, err := ask(fmt.Sprintf("The host key of %s is not known: %s %s. Is it the machine's? [y/N]", q.Host, q.KeyType, q.Fingerprint), "")
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}
