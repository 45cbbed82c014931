package frame_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"phoenix-run/remote/internal/frame"
)

func collect(t *testing.T, r *frame.Reader, word string) (out []byte, rest string, err error) {
	t.Helper()
	rest, err = r.Next(word, func(p []byte) error {
		out = append(out, p...)
		return nil
	})
	return out, rest, err
}

func TestTwoFramesInOneStream(t *testing.T) {
	stream := "noise\x00aaa 0\nfirst\x00not aaa\x00\x00bbb 17\ntail"
	for name, src := range map[string]io.Reader{
		"whole":       bytes.NewBufferString(stream),
		"byte a time": iotest.OneByteReader(bytes.NewBufferString(stream)),
		"data at EOF": iotest.DataErrReader(bytes.NewBufferString(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			r := frame.NewReader(src)
			out, rest, err := collect(t, r, "aaa")
			if string(out) != "noise" || rest != " 0" || err != nil {
				t.Fatalf("first: %q, %q, %v", out, rest, err)
			}
			out, rest, err = collect(t, r, "bbb")
			if string(out) != "first\x00not aaa\x00" || rest != " 17" || err != nil {
				t.Fatalf("second: %q, %q, %v", out, rest, err)
			}
			out, _, err = collect(t, r, "ccc")
			if string(out) != "tail" || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("end: %q, %v", out, err)
			}
		})
	}
}

func TestMarkWithoutEnd(t *testing.T) {
	r := frame.NewReader(bytes.NewBufferString("x\x00aaa" + string(bytes.Repeat([]byte("y"), 100)) + "\n"))
	if _, _, err := collect(t, r, "aaa"); err == nil {
		t.Fatal("a mark with an endless rest was taken")
	}
	r = frame.NewReader(bytes.NewBufferString("x\x00aaa 0"))
	if _, _, err := collect(t, r, "aaa"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a cut mark: %v", err)
	}
}

func TestEmitErrorEndsTheSearch(t *testing.T) {
	full := errors.New("no space left")
	r := frame.NewReader(bytes.NewBufferString("data\x00aaa 0\n"))
	if _, err := r.Next("aaa", func([]byte) error { return full }); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
}

// FuzzReader: whatever a script writes and however the stream is cut, the frame is what was written.
func FuzzReader(f *testing.F) {
	f.Add([]byte("hello\n"), []byte(""), uint8(3))
	f.Add([]byte("\x00\x00WORD"), []byte("\x00WOR"), uint8(1))
	f.Add(bytes.Repeat([]byte{0}, 70_000), []byte("\x00WORDX"), uint8(255))
	f.Fuzz(func(t *testing.T, first, second []byte, step uint8) {
		one, two := frame.NewWord(), frame.NewWord()
		var s bytes.Buffer
		s.Write(first)
		s.WriteString("\x00" + one + " 3\n")
		s.Write(second)
		s.WriteString("\x00" + two + "\n")
		r := frame.NewReader(&stepReader{&s, int(step) + 1})
		out, rest, err := collect(t, r, one)
		if err != nil || !bytes.Equal(out, first) || rest != " 3" {
			t.Fatalf("first: %q, %q, %v", out, rest, err)
		}
		out, rest, err = collect(t, r, two)
		if err != nil || !bytes.Equal(out, second) || rest != "" {
			t.Fatalf("second: %q, %q, %v", out, rest, err)
		}
	})
}

type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }
