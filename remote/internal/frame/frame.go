// Package frame finds where one script's output ends and the next one's begins in a stream that a
// persistent shell writes.
//
// A mark is a NUL byte, a random word that the client chose for this script alone, and the rest of
// the line. What lies between two marks is output: any bytes at all, since no script knows the word
// of its own frame.
package frame

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

// maxRest bounds what may stand between a mark's word and its newline: an exit code or a process id.
const maxRest = 32

// bufferSize is one SSH packet's worth of data.
const bufferSize = 32 << 10

// NewWord makes a word that no output holds: 128 random bits, safe in a shell word and in one field
// of a line.
func NewWord() string { return rand.Text() }

// Reader takes a stream apart. It reads only when it needs more than it holds.
type Reader struct {
	src  io.Reader
	buf  []byte // storage
	data []byte // the part of buf that was read and not yet given out
}

// NewReader reads frames from src.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, 0, bufferSize)}
}

// Next gives emit everything before the next mark with this word, and returns what the mark says
// after the word. emit must not keep the slice. An error of emit ends the search.
// A stream that ends before the mark is io.ErrUnexpectedEOF; emit has got all of it by then.
func (r *Reader) Next(word string, emit func([]byte) error) (rest string, err error) {
	mark := append([]byte{0}, word...)
	for {
		if at := bytes.Index(r.data, mark); at >= 0 {
			if err := r.give(at, emit); err != nil {
				return "", err
			}
			return r.rest(len(mark))
		}
		// The tail may be the start of a mark whose end has not arrived.
		if err := r.give(len(r.data)-partial(r.data, mark), emit); err != nil {
			return "", err
		}
		if err := r.fill(); err != nil {
			if giveErr := r.give(len(r.data), emit); giveErr != nil {
				return "", giveErr
			}
			return "", ended(err)
		}
	}
}

// rest takes the mark at the start of data, n bytes long, and the line that it begins.
func (r *Reader) rest(n int) (string, error) {
	for {
		line := r.data[n:]
		if end := bytes.IndexByte(line, '\n'); end >= 0 && end <= maxRest {
			text := string(line[:end])
			r.data = r.data[n+end+1:]
			return text, nil
		}
		if len(line) > maxRest {
			return "", fmt.Errorf("a mark with more than %d bytes after its word", maxRest)
		}
		if err := r.fill(); err != nil {
			return "", ended(err)
		}
	}
}

func (r *Reader) give(n int, emit func([]byte) error) error {
	if n == 0 {
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return emit(out)
}

// fill reads once, keeping what data holds.
func (r *Reader) fill() error {
	kept := copy(r.buf[:cap(r.buf)], r.data)
	r.data = r.buf[:kept]
	for range 100 {
		n, err := r.src.Read(r.buf[kept:cap(r.buf)])
		r.data = r.buf[:kept+n]
		if n > 0 {
			return nil // an error comes again with the next Read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// partial is how many bytes at the end of data begin mark.
func partial(data, mark []byte) int {
	longest := min(len(data), len(mark)-1)
	tail := data[len(data)-longest:]
	for len(tail) > 0 {
		at := bytes.IndexByte(tail, mark[0])
		if at < 0 {
			return 0
		}
		tail = tail[at:]
		if bytes.HasPrefix(mark, tail) {
			return len(tail)
		}
		tail = tail[1:]
	}
	return 0
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
