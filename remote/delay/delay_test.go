package delay_test

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"phoenix-run/remote/delay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T, o delay.Options) (*delay.Proxy, net.Conn) {
	p, err := delay.New(echo(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return p, c
}

func TestDelayAndTurns(t *testing.T) {
	p, c := start(t, delay.Options{RTT: 40 * time.Millisecond})
	begin := time.Now()
	buf := make([]byte, 4)
	for range 3 {
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 120*time.Millisecond {
		t.Errorf("3 round trips of 40 ms took %s", took)
	}
	if got := p.Turns(); got != 3 {
		t.Errorf("counted %d turns", got)
	}
	if up, down := p.Bytes(); up != 12 || down != 12 {
		t.Errorf("counted %d bytes up and %d down", up, down)
	}
}

func TestWholeContentAndEnd(t *testing.T) {
	_, c := start(t, delay.Options{RTT: 10 * time.Millisecond})
	in := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		c.Write(in)
		c.(*net.TCPConn).CloseWrite()
	}()
	out, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(in, out) {
		t.Errorf("%d bytes came back, %v", len(out), err)
	}
}

func TestDropAndHang(t *testing.T) {
	_, c := start(t, delay.Options{DropAfterUp: 100})
	c.Write(make([]byte, 99))
	if _, err := io.ReadFull(c, make([]byte, 99)); err != nil {
		t.Errorf("before the drop: %v", err)
	}
	c.Write(make([]byte, 10))
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the connection was not reset")
	}

	_, c = start(t, delay.Options{HangAfterUp: 100})
	c.Write(make([]byte, 100))
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Read(make([]byte, 200)); n > 0 || err == nil {
		t.Errorf("a hung connection answered %d bytes, %v", n, err)
	}
}
