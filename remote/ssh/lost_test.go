package ssh

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/crypto/ssh"
)

// A channel that is asked for just as the connection ends is never answered by the library; whoever
// asked must not wait for it.
func TestOpenAsTheConnectionEnds(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	defer close(answer)
	l := &link{Client: &ssh.Client{Conn: stuck{asked: asked, answer: answer}}, gone: make(chan struct{})}
	go func() {
		<-asked
		close(l.gone)
	}()
	if _, _, err := open(t.Context(), l); !errors.Is(err, errLost) {
		t.Errorf("got %v", err)
	}
}

// stuck takes the question for a channel, and keeps it.
type stuck struct {
	ssh.Conn
	asked, answer chan struct{}
}

func (s stuck) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	close(s.asked)
	<-s.answer
	return nil, nil, net.ErrClosed
}
